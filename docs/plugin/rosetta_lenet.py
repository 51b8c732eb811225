"""The source `lenet:`: our own small networks by what they were trained on, such as `lenet:cifar10`."""

from collections import OrderedDict

from torch import nn

from workers.zoo import weights
from workers.zoo.base import Network, Preprocessing
from workers.zoo.locations import Locations
from workers.zoo.maps import plain_maps


def lenet() -> nn.Module:
    """LeNet-5 for colour images of 32x32 pixels; what is recorded is the output of a submodule."""
    sizes = ((3, 6, 5), (6, 16, 5), (16, 120, 5))
    stages = [nn.Sequential(nn.Conv2d(*size), nn.ReLU(), nn.MaxPool2d(2)) for size in sizes[:2]]
    last = nn.Sequential(nn.Conv2d(*sizes[2]), nn.ReLU(), nn.Flatten())
    return nn.Sequential(OrderedDict(stage1=stages[0], stage2=stages[1], stage3=last, head=nn.Linear(120, 10)))


def load(reference: str, locations: Locations) -> Network:
    """The network trained on `reference`; raises rosetta.errors.InvalidRequest with one line that says the mend."""
    file = locations.file((f"lenet-{reference}.safetensors", f"lenet-{reference}.pt"), of=f"lenet:{reference}")
    module = lenet()
    weights.fit(module, weights.read_state(file), file=file.name, architecture="LeNet-5")
    return Network(
        module=module,
        layers=("stage1.1", "stage2.1", "stage3.1"),
        weights_digest=weights.digest_files([file]),
        family="lenet",
        aliases=(f"lenet {reference}",),
        preprocessing=Preprocessing(32, 32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)),
        to_maps=plain_maps,
        details={"trained_on": reference},
    )
