"""What models are worth beyond their loss: multiple-choice tasks, and text sent to branches."""
