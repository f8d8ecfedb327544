"""The build backend (PEP 517): compiles libembedjobs_c with CMake and writes a wheel that holds it.

EMBEDJOBS_LIBRARY: bundle this library, which was built elsewhere. EMBEDJOBS_CMAKE_ARGS: more arguments for CMake.
CMAKE_GENERATOR: build with this generator of CMake; without it Ninja is taken, or else make."""
import base64
import hashlib
import io
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
SONAME = "libembedjobs_c.so.1"


def version():
    """Of the project; of a source distribution, which is not in it, that of its PKG-INFO."""
    info = HERE / "PKG-INFO"
    if info.exists():
        return re.search(r"^Version: (.+)$", info.read_text(encoding="utf-8"), re.M).group(1)
    text = (PROJECT / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(r"project\(embedjobs VERSION ([0-9.]+)", text).group(1)


def library():
    given = os.environ.get("EMBEDJOBS_LIBRARY")
    if given:
        return pathlib.Path(given).resolve()
    if not (PROJECT / "capi" / "embedjobs.h").exists():
        raise RuntimeError("this is the Python part alone: set EMBEDJOBS_LIBRARY to a " + SONAME +
                           ", or install from the repository")
    build = PROJECT / "build" / "python"
    jobs = os.environ.get("EMBEDJOBS_JOBS") or str(os.cpu_count() or 1)
    more = shlex.split(os.environ.get("EMBEDJOBS_CMAKE_ARGS", ""))
    check_tools(more)
    run("cmake", "-S", str(PROJECT), "-B", str(build), *generator_arguments(build, more), "-DCMAKE_BUILD_TYPE=Release",
        "-DEMBEDJOBS_BUILD_TESTS=OFF", "-DEMBEDJOBS_BUILD_EXAMPLES=OFF", *more)
    run("cmake", "--build", str(build), "--target", "embedjobs_c", "-j", jobs)
    return next(build.rglob(SONAME)).resolve()


def run(*command):
    status = subprocess.run(command).returncode
    if status != 0:
        sys.exit(f"error: '{shlex.join(command)}' failed; the lines above say why")


# The names by which CMake looks for each tool. The first generator whose tool is there is taken.
GENERATORS = {"Ninja": ["ninja", "ninja-build", "samu"], "Unix Makefiles": ["gmake", "make"]}
CXX_COMPILERS = ["c++", "g++", "clang++", "icpx"]


def is_there(names):
    return any(shutil.which(name) for name in names)


def need(what, debian_package):
    sys.exit(f"error: building embedjobs needs {what}, which is not here (Debian: apt-get install {debian_package})")


def check_tools(more):
    if not is_there(["cmake"]):
        need("CMake 3.25 or later", "cmake")
    # Where the caller chose a compiler or a toolchain, CMake says what is wrong with it.
    chosen = os.environ.get("CXX") or os.environ.get("CMAKE_TOOLCHAIN_FILE") or any(
        re.match("-DCMAKE_(CXX_COMPILER|TOOLCHAIN_FILE)[:=]|--toolchain", argument) for argument in more)
    if not chosen and not is_there(CXX_COMPILERS):
        need("a C++20 compiler", "g++")


def generator_arguments(build, more):
    """CMake's default is make, even where there is only Ninja."""
    if any(argument.startswith("-G") for argument in more):
        return []
    here = [name for name, tools in GENERATORS.items() if is_there(tools)]
    generator = os.environ.get("CMAKE_GENERATOR") or (here[0] if here else need("Ninja or make", "ninja-build"))
    return ["-G", generator] if configured_with(build) in (None, generator) else ["--fresh", "-G", generator]


def configured_with(build):
    """The generator of an earlier run, which CMake would not change by itself; None if there was none."""
    cache = build / "CMakeCache.txt"
    text = cache.read_text(encoding="utf-8") if cache.exists() else ""
    found = re.search("^CMAKE_GENERATOR:INTERNAL=(.*)$", text, re.M)
    return found.group(1) if found else None


def tag():
    return "py3-none-" + re.sub(r"[-.]", "_", sysconfig.get_platform())


def metadata():
    return f"""Metadata-Version: 2.1
Name: embedjobs
Version: {version()}
Summary: Durable jobs that keep vector embeddings in step with documents
License: Apache-2.0
Requires-Python: >=3.8
"""


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    info = f"embedjobs-{version()}.dist-info"
    name = f"embedjobs-{version()}-{tag()}.whl"
    modules = [path for path in sorted((HERE / "embedjobs").glob("*.py*")) if path.is_file()]
    files = {f"embedjobs/{path.name}": path.read_bytes() for path in modules}
    files[f"embedjobs/{SONAME}"] = library().read_bytes()
    files["embedjobs/py.typed"] = b""
    files[f"{info}/METADATA"] = metadata().encode()
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: embedjobs\nRoot-Is-Purelib: false\nTag: {tag()}\n".encode())
    record = "".join(f"{path},sha256={digest(data)},{len(data)}\n" for path, data in files.items())
    files[f"{info}/RECORD"] = (record + f"{info}/RECORD,,\n").encode()
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in files.items():
            wheel.writestr(path, data)
    return name


def digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def build_sdist(sdist_directory, config_settings=None):
    """Of the Python part; building it again needs the whole repository, or EMBEDJOBS_LIBRARY."""
    base = f"embedjobs-{version()}"
    info = tarfile.TarInfo(f"{base}/PKG-INFO")
    info.size = len(metadata().encode())
    with tarfile.open(pathlib.Path(sdist_directory) / f"{base}.tar.gz", "w:gz") as archive:
        archive.addfile(info, io.BytesIO(metadata().encode()))
        for path in ["pyproject.toml", "build_backend.py", "embedjobs"]:
            archive.add(HERE / path, f"{base}/{path}", filter=lambda item: None if "__pycache__" in item.name else item)
    return f"{base}.tar.gz"
