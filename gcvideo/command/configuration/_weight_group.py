from hydra.core.config_store import ConfigStore

from gcvideo.weights import ZOO


def register_published_weights() -> None:
    """Make every name in the zoo a choice of the configuration group ``weights``."""
    store = ConfigStore.instance()
    for name, record in ZOO.items():
        node = {"_target_": "gcvideo.weights.published_weights", "name": name}
        store.store(
            name=name,
            group="weights",
            node=node | {"inflation": "mean"} if record.inflated else node,
        )
