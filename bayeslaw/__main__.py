"""python -m bayeslaw"""

from bayeslaw.cli import main

if __name__ == "__main__":
    main()
