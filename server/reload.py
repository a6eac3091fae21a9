"""Loading models, at the start and again while the server runs: another version beside the one that it replaces.

A reload reads the settings again. Models whose settings, files or rules have changed, and new ones, are loaded and
checked as at the start, on a thread of its own; then their routes are exchanged between two requests. If anything is
wrong, everything stays as it was.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from monitor.config.load import Config
from monitor.errors import ConfigError, TelltaleError
from monitor.library.monitor import version_of
from monitor.models.model import Model, open_model
from monitor.recording import Watch
from monitor.reference.file import Reference
from monitor.rules.cover import cover
from monitor.runtime import Runtime
from server.routes import Application

log = logging.getLogger("server")


class Loaded(NamedTuple):
    """A model that is loaded. `digest`: of its files; `config`: its settings; both tell whether it has changed."""

    watch: Watch
    model: Model | None
    config: Config
    digest: bytes


def load(config: Config) -> Loaded:
    """Load reference and model; `config`: of one model. Raises TelltaleError."""
    digest = digest_of(config)
    reference = Reference.load(config.model.reference)
    model = open_model(config.model, reference) if config.model.path else None
    version = version_of(config, reference) if model is None else model.version
    watch = Watch(reference, version, config.model.name, config.model.name * config.named)
    return Loaded(watch, model, config, digest)


def digest_of(config: Config) -> bytes:
    """Digest of the files of a model; of those that cannot be read, nothing."""
    digest = sha256()
    for name in filter(None, (config.model.reference, config.model.path)):
        path = Path(name)
        digest.update(sha256(path.read_bytes() if path.is_file() else b"").digest())
    return digest.digest()


def load_all(config: Config) -> tuple[dict[str, Loaded], dict[str, str]]:
    """Load all models; and why those failed that did. Raises TelltaleError if none can be served."""
    loaded, failed = {}, {}
    for name in config.names:
        try:
            loaded[name] = load(config.of(name))
        except TelltaleError as error:
            failed[name] = str(error)
            if len(failed) == len(config.names):
                raise
            log.error("model %s is not served: %s", name, error)
    return loaded, failed


class Reloading:
    """Reloads settings and models. `read_config`: reads the settings."""

    def __init__(
        self, runtime: Runtime, application: Application, loaded: dict[str, Loaded], read_config: Callable[[], Config]
    ) -> None:
        self._runtime, self._application, self._loaded, self._read_config = runtime, application, loaded, read_config
        self._lock, self._stopped = threading.Lock(), False

    def start(self, done: Callable[[str, bool], None] = lambda outcome, good: None) -> None:  # noqa: ARG005
        """Reload on a thread of its own; `done` is told what became of it, and whether it is good."""
        threading.Thread(target=lambda: done(*self._run()), name="telltale-reload", daemon=True).start()

    def wait(self) -> str:
        """Reload, and say what has changed. Raises TelltaleError if everything stays as it was."""
        outcome, good = self._run()
        if not good:
            raise TelltaleError(f"not reloaded, everything stays as it was: {outcome}")
        return outcome

    def stop(self) -> None:
        """Wait for a reload that is under way, and begin no other."""
        with self._lock:
            self._stopped = True

    def _run(self) -> tuple[str, bool]:
        with self._lock:
            if self._stopped:
                return "the server stops", False
            try:
                outcome, good = self.reload(), True
                log.info("reloaded: %s", outcome)
            except Exception as error:
                outcome, good = str(error) or type(error).__name__, False
                traced = None if isinstance(error, TelltaleError) else error
                log.error("not reloaded, everything stays as it was: %s", outcome, exc_info=traced)
            self._runtime.reloaded(outcome, good)
        return outcome, good

    def reload(self) -> str:
        """Load what has changed, and say what. Raises TelltaleError, and changes nothing, if anything is wrong."""
        config = self._read_config()
        refuse_other_changes(self._runtime.config, config)
        loaded = {}
        for name, own in ((name, config.of(name)) for name in config.names):
            old = self._loaded.get(name)
            if old is None or old.config != own or old.digest != digest_of(own):
                try:
                    loaded[name] = load(own)
                except TelltaleError:
                    if name not in self._runtime.failed:  # else it is as it was
                        raise
        for name, new in loaded.items():
            cover(new.config.rules, new.watch.reference.schema)
            old = self._loaded.get(name)
            if old is not None and (old.config.source != new.config.source or self._runtime.find(name).pulled):
                raise ConfigError(f"model {name} changed, and its counts are pulled by [source]: restart for that")
            if old is not None and (old.config.outcomes is None) != (new.config.outcomes is None):
                raise ConfigError(f"model {name}: [outcomes] was switched on or off: restart for that")
        if not loaded:
            return "nothing has changed"
        self._runtime.exchange(config, [new.watch for new in loaded.values()])
        self._application.mount({name: new.model for name, new in loaded.items()})
        before = {name: f"{old.watch.version} to " for name, old in self._loaded.items()}
        news = [f"{name} {before.get(name, '')}{new.watch.version}" for name, new in loaded.items()]
        self._loaded |= loaded
        return ", ".join(news)


def refuse_other_changes(before: Config, after: Config) -> None:
    """Raise ConfigError if anything but models and rules has changed, or a model was taken out."""
    if before.named != after.named or (not after.named and before.names != after.names):
        what = "[model] became [models.NAME] or the other way, or the one model has another name"
        raise ConfigError(f"{what}: restart for that")
    if gone := [name for name in before.names if name not in after.names]:
        raise ConfigError(f"model {', '.join(gone)} was taken out: restart for that")
    same = {"model", "models", "source", "sources", "rules", "file"}
    fields = (field for field in Config.__dataclass_fields__ if field not in same)
    if changed := [f"[{name}]" for name in fields if getattr(before, name) != getattr(after, name)]:
        raise ConfigError(f"{', '.join(changed)} changed: restart for that; a reload loads models and rules only")
