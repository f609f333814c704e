from torch import nn

from gcvideo.models.activation_checkpoint import recomputes_activations


def compile_net(net: nn.Module, *, backend: str = "inductor") -> None:
    """Let ``torch.compile`` translate a net at its first call, in place: keys and modules stay.

    Call it before a strategy wraps the net.

    Args:
        net: a net of this package.
        backend: of ``torch.compile``; "inductor" needs a C++ compiler, on GPUs Triton.

    Raises:
        ValueError: if the net recomputes activations, which the compiler cannot follow.
    """
    if recomputes_activations(net):
        raise ValueError(
            "compile is true and so is activation_checkpointing, but torch.compile cannot follow the "
            "recomputation; set one of them to false"
        )
    net.compile(backend=backend)
