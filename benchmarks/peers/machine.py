"""The processor's name, as every line of a measurement has it."""
import platform


def name():
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(": ", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
