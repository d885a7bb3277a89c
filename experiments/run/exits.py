"""Exit codes of the launchers.

code  meaning
0     done
1     a fault in the program or a library; --traceback shows where
2     the input does not fit: flags, config, data, workdir
3     the loss was not finite
75    interrupted and saved: the same command resumes
"""

FAULT, BAD_INPUT, NOT_FINITE, RESUME_ME = 1, 2, 3, 75
