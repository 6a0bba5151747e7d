"""What a model's name stands for: a base of plain weights, or an adapter and the base that it names."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasonmaxxer.config import ModelConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.models.embedded import EMBEDDED
from reasonmaxxer.models.files import ADAPTER_CONFIG, SETTINGS, is_adapter, matching, read_settings
from reasonmaxxer.models.teachers import teachers

BASE = "base_model_name_or_path"
"""Key under which an adapter's config names its base."""


@dataclass(frozen=True)
class Named:
    """What is behind a model's name.

    Attributes:
        base: what loads the base: name of an embedded model, local folder or hub id; maybe another adapter.
        adapter: PEFT folder of the adapter on it, if there is one.
        revision: of the base on the hub, as the adapter records it.
    """

    base: str
    adapter: Path | None = None
    revision: str | None = None

    @property
    def hub_id(self) -> str:
        """Hub id or folder of the base; of an embedded model where others find it."""
        return EMBEDDED[self.base].hub_id if self.base in EMBEDDED else self.base

    def base_config(self, config: ModelConfig) -> ModelConfig:
        """What loads the base; at the revision that the adapter records, if the config has none."""
        return config.model_copy(update={"name": self.base, "revision": config.revision or self.revision})


def resolve(name: str | Path) -> Named:
    """What a name stands for.

    Args:
        name: embedded model or teacher, local folder or hub id; a path is a folder and nothing else.

    Raises:
        UserError: an adapter's config cannot be read, it names no base, or adapters name each other.
    """
    adapters = _adapters(name)
    if not adapters:
        return Named(str(name))
    folder, lowest = list(adapters.items())[-1]
    base = lowest.get(BASE)
    if not isinstance(base, str) or not base or _folder(base) in adapters:
        raise UserError(
            f"{folder / ADAPTER_CONFIG} names no base ({BASE} is {base!r}): write the hub id or folder of the "
            "model that the adapter was trained on."
        )
    folder, config = next(iter(adapters.items()))
    ours = {model.hub_id: name for name, model in EMBEDDED.items()}
    return Named(ours.get(config[BASE], config[BASE]), folder, config.get("revision"))


def hub_name(name: str) -> str:
    """Hub id or folder of the plain weights behind a name, below all adapters."""
    named = resolve(name)
    return hub_name(named.base) if named.adapter else named.hub_id


def files_behind(*names: str | None) -> list[str]:
    """Files that models' answers depend on, of an adapter its base's too; only local folders have any.

    They are listed, not looked into: a model that is not whole may have answered what is kept.
    """
    folders: dict[Path, None] = {}
    for name in filter(None, names):
        bases = [config.get(BASE) for config in _adapters(name).values()]
        paths = [Path(behind) for behind in (name, *bases) if isinstance(behind, str) and behind]
        folders |= dict.fromkeys(path for path in paths if path.is_dir())
    return [str(file) for folder in folders for file in matching(folder, ("*.safetensors", *SETTINGS))]


def _adapters(name: str | Path) -> dict[Path, dict[str, Any]]:
    """Configs of the adapters behind a name, by folder, down to the base or to an adapter that was there before."""
    found: dict[Path, dict[str, Any]] = {}
    folder = _folder(name)
    while is_adapter(folder) and folder not in found:
        found[folder] = read_settings(folder / ADAPTER_CONFIG)
        base = found[folder].get(BASE)
        if not isinstance(base, str) or not base:
            break
        folder = _folder(base)
    return found


def _folder(name: str | Path) -> Path:
    return name if isinstance(name, Path) else teachers().get(name, Path(name))
