"""What the user asked for: command line, environment, ini keys and the marker, in that order from near to far.

Law: a value is read once, checked once, and an error names the place where it was written. Nothing is opened here.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_netfixtures import _values as values
from pytest_netfixtures._stash import SETTINGS


@dataclass(frozen=True)
class Settings:
    """What holds for a run, or with a marker for a test."""

    capture: bool
    capture_said: bool
    """True when the command line said yes or no to a capture in so many words."""
    keep: str
    backend: str
    watch: tuple[int, ...]
    """Ports of others that the marker names."""
    directory: Path
    max_bytes: int
    secrets: bool
    log: int | None
    """From which level on records of logging become rows of a capture; None: none do."""
    seed: int
    seed_drawn: bool
    timeout: float
    timeout_said: bool
    """True when the command line or the marker said it, so that it holds beside pytest-timeout."""
    wait: float
    report: str
    redact: tuple[str, ...]
    must_fire: bool
    worker: str
    """The part of a file name that tells workers apart, under `--dist=each` alone."""
    unwritable: bool
    threads: bool
    """True when one process runs several tests at once."""


def settings_of(config: pytest.Config) -> Settings:
    """The settings of the run; read at the first call."""
    found = config.stash.get(SETTINGS, None)
    if found is None:
        found = config.stash[SETTINGS] = _read(config)
    return found


def settings_for(item: pytest.Item) -> Settings:
    """The settings of one test: those of the run, and over them what its `netlab` markers say."""
    settings = settings_of(item.config)
    said = marked(item)
    if not said:
        return settings
    captured = said.get("capture", settings.capture or ("keep" in said and not settings.capture_said))
    return replace(
        settings,
        capture=captured,
        keep=said.get("keep", settings.keep),
        backend=said.get("backend", settings.backend),
        watch=said.get("watch", ()),
        seed=said.get("seed", settings.seed),
        timeout=said.get("timeout", settings.timeout),
        timeout_said=settings.timeout_said or "timeout" in said,
    )


def marked(item: pytest.Item) -> dict[str, Any]:
    """The checked arguments of all `netlab` markers of a test, the nearest first."""
    __tracebackhide__ = True
    said: dict[str, Any] = {}
    for mark in item.iter_markers("netlab"):
        _check_mark(item, mark)
        for name, value in mark.kwargs.items():
            said.setdefault(
                name, _checked(value, values.MARKS[name], f"{name}= of the marker netlab of {item.nodeid}")
            )
    return said


def _check_mark(item: pytest.Item, mark: pytest.Mark) -> None:
    __tracebackhide__ = True
    unknown = [repr(value) for value in mark.args] + [n for n in mark.kwargs if n not in values.MARKS]
    if unknown:
        raise pytest.UsageError(
            f"the marker netlab of {item.nodeid} has an argument that it does not know: {', '.join(unknown)}; "
            f"it takes {', '.join(f'{name}=' for name in values.MARKS)}; correct or remove the argument"
        )


def _read(config: pytest.Config) -> Settings:
    given: Mapping[str, Any] = getattr(config, "workerinput", {})
    seed, drawn = _seed(config, given)
    capture_said = config.getoption("net_capture", None) is not None
    return Settings(
        capture=_capture(config),
        capture_said=capture_said,
        keep=_find(config, "net_capture_keep", values.one_of(values.KEEP)),
        watch=(),
        backend=_find(config, "net_capture_backend", values.backend),
        directory=_directory(config, given),
        max_bytes=_find(config, "net_capture_max_bytes", values.size),
        secrets=not _find(config, "net_capture_no_secrets", values.flag),
        log=_find(config, "net_capture_log", values.log_level),
        seed=seed,
        seed_drawn=drawn,
        timeout=_find(config, "net_test_timeout", values.seconds),
        timeout_said=config.getoption("net_test_timeout", None) is not None,
        wait=_find(config, "net_wait", values.some_seconds),
        report=_find(config, "net_report", values.one_of(values.REPORTS)),
        redact=_find(config, "net_redact", values.regexes),
        must_fire=_find(config, "net_must_fire", values.flag),
        worker=given.get("workerid", "") if given.get("netfixtures_each") else "",
        unwritable=bool(given.get("netfixtures_unwritable")),
        threads=_runs_in_threads(config),
    )


def _find(config: pytest.Config, name: str, check: values.Check) -> Any:
    """The nearest value of one setting: command line, environment, ini."""
    said = config.getoption(name, None)
    if said is not None:
        return _checked(said, check, "--" + name.replace("_", "-"))
    variable = "PYTEST_" + name.upper()
    if variable in ENVIRONMENT and variable in os.environ:
        return _checked(os.environ[variable], check, f"the environment variable {variable}")
    return _checked(_ini(config, name), check, f"the ini key {name}{_inside(config)}")


ENVIRONMENT = (
    "PYTEST_NET_CAPTURE",
    "PYTEST_NET_CAPTURE_KEEP",
    "PYTEST_NET_CAPTURE_BACKEND",
    "PYTEST_NET_CAPTURE_DIR",
    "PYTEST_NET_CAPTURE_LOG",
    "PYTEST_NET_SEED",
)


def _ini(config: pytest.Config, name: str) -> Any:
    try:
        return config.getini(name)
    except (TypeError, ValueError, pytest.UsageError) as error:
        raise pytest.UsageError(f"the ini key {name}{_inside(config)} cannot be used: {error}") from error


def _inside(config: pytest.Config) -> str:
    return f" in {config.inipath}" if config.inipath else ""


def _checked(value: Any, check: values.Check, where: str) -> Any:
    __tracebackhide__ = True
    try:
        return check(value)
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"{where} is {value!r}; expected {error}; correct or remove it") from None


def _capture(config: pytest.Config) -> bool:
    """`keep` said on the command line or in the environment asks for a capture too, where nothing nearer denies it."""
    if config.getoption("net_capture", None) is not None:
        return bool(config.getoption("net_capture"))
    if config.getoption("net_capture_keep", None) is not None:
        return True
    if "PYTEST_NET_CAPTURE" not in os.environ and "PYTEST_NET_CAPTURE_KEEP" in os.environ:
        return True
    return bool(_find(config, "net_capture", values.flag))


def _directory(config: pytest.Config, given: Mapping[str, Any]) -> Path:
    """Relative to where pytest was called, from an ini key to the ini file; the same for all workers."""
    if "netfixtures_directory" in given:
        return Path(given["netfixtures_directory"])
    said = _find(config, "net_capture_dir", values.path)
    if not said:
        return config.rootpath / "net-captures"
    nearer = config.getoption("net_capture_dir", None) or os.environ.get("PYTEST_NET_CAPTURE_DIR")
    beside = config.invocation_params.dir if nearer or config.inipath is None else config.inipath.parent
    return Path(beside, said)


def _seed(config: pytest.Config, given: Mapping[str, Any]) -> tuple[int, bool]:
    """The seed, and whether it was drawn. A worker takes what the controller has drawn."""
    found = _find(config, "net_seed", values.seed_or_random)
    if found != "random":
        return found, False
    if "netfixtures_seed" in given:
        return int(given["netfixtures_seed"]), True
    followed = config.getoption("randomly_seed", None)
    return (followed if isinstance(followed, int) else random.SystemRandom().randrange(1 << 32)), True


def _runs_in_threads(config: pytest.Config) -> bool:
    return str(config.getoption("parallel_threads", None) or 1) != "1"


def header(settings: Settings, here: Path) -> str | None:
    """The line of pytest's header, or None when nothing is on."""
    parts = []
    if settings.capture:
        by = " by the kernel" if settings.backend == "kernel" else ""
        parts.append(f"capture of {settings.keep} tests{by} into {as_typed(settings.directory, here)}")
    if settings.seed or settings.seed_drawn:
        parts.append(f"seed {settings.seed}" + (" (drawn)" if settings.seed_drawn else ""))
    if settings.threads:
        parts.append("several tests run at once, so netlab_session forgets nothing between them")
    return "netfixtures: " + "; ".join(parts) if parts else None


def as_typed(path: Path, here: Path) -> str:
    """A path as a user would type it, who called pytest in `here`."""
    try:
        return str(path.relative_to(here))
    except ValueError:
        return str(path)
