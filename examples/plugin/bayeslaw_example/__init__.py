"""What a plug-in of bayeslaw can be: a law, a risk, a reader. Each is a class or a function."""
