"""Writes pickles with the globals and the nesting of NVIDIA's: persistent modules, and TensorFlow networks."""

import pickle
import sys
import types
from collections import OrderedDict

import torch
from torch import nn

SOURCE = "raise RuntimeError('the source in a pickle ran')"


class EasyDict(dict):
    __module__, __qualname__ = "dnnlib.util", "EasyDict"

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Network:
    """A legacy TensorFlow network: its state is what matters."""

    __module__, __qualname__ = "dnnlib.tflib.network", "Network"

    def __init__(self, **state):
        self.state = state

    def __getstate__(self):
        return self.state


def _reconstruct_persistent_obj(meta):
    raise AssertionError("nothing in a pickle may run")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


class Call:
    """Pickles as a call of the function, whose result is given that state; `function` may be a `Call` itself."""

    def __init__(self, function, *arguments, state=None):
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.reduced

    def __call__(self):
        """Pickle asks whether a function can be called."""


def _of_dill(name):
    def function(*_arguments):
        raise AssertionError("nothing in a pickle may run")

    function.__name__ = function.__qualname__ = name
    function.__module__ = "dill._dill"
    return function


DILL = {
    name: _of_dill(name)
    for name in (
        "_create_array", "_create_cell", "_create_code", "_create_function", "_get_attr", "_import_module", "_load_type"
    )
}  # fmt: skip


class DillArray:
    """An array that pickles as dill has it since 0.3.6."""

    def __init__(self, array):
        self.array = array

    def __reduce__(self):
        return DILL["_create_array"], (*self.array.__reduce__(), None)


def dill_member(module, name):
    """A function of C code, such as numpy's, as dill 0.3.4 writes it: StyleGAN-XL's version."""
    return Call(DILL["_get_attr"], Call(DILL["_import_module"], module), name)


def old_dill(value):
    """An array or a number of numpy, as dill 0.3.4 writes it."""
    function, arguments, *state = value.__reduce__()
    return Call(dill_member("numpy.core._multiarray_umath", function.__name__), *arguments, state=(state or [None])[0])


def dill_function(name, code=b""):
    """A function with its code, as dill writes those that no module has."""
    code = Call(DILL["_create_code"], 1, 0, 0, 1, 2, 19, code, (None,), (), ("x",), "file.py", name, 1, b"", (), ())
    cell = Call(DILL["_create_cell"], None)
    state = ({}, {"__annotations__": {}, "__qualname__": name})
    return Call(DILL["_create_function"], code, {}, name, None, (cell,), state=state)


class Persistent:
    """An object that pickles as `persistence.persistent_class` has it."""

    def __init__(self, class_name, state, source=SOURCE):
        self.class_name, self.state, self.source = class_name, state, source

    def __reduce__(self):
        meta = {
            "type": "class",
            "version": 6,
            "module_src": self.source,
            "class_name": self.class_name,
            "state": self.state,
        }
        return _reconstruct_persistent_obj, (meta,)


def module(class_name, *, parameters=None, buffers=None, modules=None, args=(), kwargs=None, **attributes):
    """A persistent `nn.Module`: {name: tensor or None}, {name: tensor or None}, {name: module}, its attributes."""
    state = nn.Module().__dict__ | {
        "_parameters": OrderedDict(
            {name: None if value is None else nn.Parameter(value) for name, value in (parameters or {}).items()}
        ),
        "_buffers": OrderedDict(buffers or {}),
        "_modules": OrderedDict(modules or {}),
        "training": False,
        **attributes,
        "_init_args": args,
        "_init_kwargs": EasyDict(kwargs or {}),
    }
    return Persistent(class_name, state)


def write(path, content, protocol=pickle.DEFAULT_PROTOCOL):
    """Pickles `content` under the published names."""
    path.write_bytes(dumps(content, protocol))
    return path


def dumps(content, protocol=pickle.DEFAULT_PROTOCOL):
    published = {
        "dnnlib": {},
        "dnnlib.util": {"EasyDict": EasyDict},
        "dnnlib.tflib": {},
        "dnnlib.tflib.network": {"Network": Network},
        "dill": {},
        "dill._dill": DILL,
        "torch_utils": {},
        "torch_utils.persistence": {"_reconstruct_persistent_obj": _reconstruct_persistent_obj},
    }
    for name, members in published.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(members)
    try:
        return pickle.dumps(content, protocol)
    finally:
        for name in published:
            del sys.modules[name]


def checkpoint(generator, **others):
    """The dict of a training snapshot, as `training_loop.py` writes it."""
    return {
        "G": generator,
        "D": module("Discriminator", parameters={"weight": torch.zeros(1)}),
        "G_ema": generator,
        "augment_pipe": None,
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset", path="x.zip", max_size=3),
        **others,
    }
