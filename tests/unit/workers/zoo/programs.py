"""Programs of torch.export in files, for the tests to read."""

import zipfile

import torch
from torch import nn
from torch._export.serde.serialize import serialize

BATCH = {0: torch.export.Dim("batch")}


def program(module, size=32, channels=3, shapes=BATCH, count=2):
    shape = (size, size) if isinstance(size, int) else size
    example = torch.rand(count, channels, *shape, generator=torch.Generator().manual_seed(0))
    return torch.export.export(module, (example,), dynamic_shapes=(shapes,))


def export(module, file, **arguments):
    torch.export.save(program(module.eval(), **arguments), file)
    return file


class Net(nn.Module):
    """Two scales, a shared activation, a constant, a buffer that is not saved, and two heads."""

    def __init__(self, outputs=lambda a, b: b):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.act = nn.ReLU()
        self.deep = nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1), nn.SiLU())
        self.tied = nn.Linear(6, 6)
        self.head = nn.Linear(6, 6)
        self.head.weight = self.tied.weight
        self.register_buffer("scale", torch.full((1, 4, 1, 1), 2.0), persistent=False)
        self.outputs = outputs

    def forward(self, x):
        x = self.act(self.stem(x) * self.scale)
        x = self.act(x + torch.tensor([[[1.0]]]))
        x = self.deep(x)
        vector = self.tied(x.mean((2, 3)))
        return self.outputs(x, self.head(vector + torch.arange(6, device=x.device)))


def older(module, file, layout):
    """The file as PyTorch 2.7 or 2.8 wrote it."""
    artifact = serialize(program(module.eval()))
    if layout == "2.7":
        members = {
            "version": b"8.8",
            "serialized_exported_program.json": artifact.exported_program,
            "serialized_state_dict.pt": artifact.state_dict,
            "serialized_constants.pt": artifact.constants,
            "serialized_example_inputs.pt": artifact.example_inputs,
        }
    else:
        members = {
            "net/models/model.json": artifact.exported_program,
            "net/data/weights/model.pt": artifact.state_dict,
            "net/data/constants/model.pt": artifact.constants,
            "net/data/sample_inputs/model.pt": artifact.example_inputs,
            "net/archive_format": b"pt2",
        }
    write(file, members)
    return file


def write(file, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
