"""What every line of a measurement says besides what was measured: the processor, the time, the package's version."""
import time


def name():
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(": ", 1)[1].strip()
    except OSError:
        pass
    import platform
    return platform.processor() or platform.machine()


def versions(*packages):
    """The installed versions of some packages of PyPI, in one text; what is not installed is left out."""
    # Here, so that no program that is measured pays for it.
    import importlib.metadata
    found = []
    for package in packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            pass
    return ", ".join(found)


def stamp(*packages):
    """Members for a line about these packages."""
    line = {"machine": name(), "unix_time": int(time.time())}
    return {**line, "version": versions(*packages)} if packages else line
