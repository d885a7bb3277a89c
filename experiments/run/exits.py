"""Exit codes of the launchers.

code  meaning
0     done
1     a fault in the program or a library; --traceback shows where
2     the input does not fit: flags, config, data, workdir; or the disk or the memory does not suffice
3     the loss was not finite, or all steps to the end were left out because it was not
141   nobody reads the output: the other end of its pipe is closed, as by `head`
75    interrupted by a signal (SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU) and saved: the same command resumes
"""

FAULT, BAD_INPUT, NOT_FINITE, RESUME_ME = 1, 2, 3, 75
