"""Programs of torch.export, checked before PyTorch sees them: what is not known to be harmless is refused.

PyTorch's deserialiser resolves call targets by name in `torch`, `operator` and `math`, evaluates symbolic
expressions as Python, and writes node names and module paths into Python source. So each string of a program is
one of four things here: an operator on tensors, an expression of integers, a name or a path, or a text argument
of an operator.
"""

from __future__ import annotations

import ast
import re
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch._export.serde import schema
from torch._export.serde.serialize import _dict_to_dataclass
from torch._export.serde.union import _Union
from torch.utils import _pytree as pytree

from rosetta.errors import InvalidRequest

_ATEN = re.compile(r"torch\.ops\.aten\.(?!__)([A-Za-z_]\w*)\.(?!__)(\w+)", re.ASCII)
# Operators that read files, show memory that nothing was written to, or trust arguments to lie inside their memory.
_REFUSED_OPERATORS = re.compile(
    r"file|empty|resize|backward|sparse|coalesce|nested|quantized|mkldnn|miopen|cudnn|fbgemm|record_stream|^set(_|$)"
)
# PyTorch's internal operators, of those that an exporter or a decomposition writes.
_INTERNAL_OPERATORS = {
    *("_assert_async", "_assert_scalar", "_assert_tensor_metadata", "_to_copy", "_unsafe_view", "_unsafe_index"),
    *("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "_convolution", "_softmax", "_safe_softmax", "_log_softmax"),
    *("_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "_batch_norm_no_update", "_prelu_kernel"),
    *("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_upsample_nearest_exact2d", "_weight_norm_interface"),
    *("_native_multi_head_attention", "_transformer_encoder_layer_fwd", "_transform_bias_rescale_qkv"),
    *("_scaled_dot_product_attention_math", "_scaled_dot_product_flash_attention_for_cpu"),
    *("_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention"),
}
# Arithmetic on sizes, at run time.
_SIZE_OPERATORS = frozenset(
    f"_operator.{name}"
    for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "eq", "ne", "le", "ge", "lt", "gt")
) | {f"torch.sym_{name}" for name in ("max", "min", "not", "int", "float")}
_REFUSED_ARGUMENTS = {"as_graph", "as_operator", "as_custom_obj", "as_string_to_argument"}
_TRAINING = {"train", "training"}

_NAME = re.compile(r"(?!__)[A-Za-z_]\w*", re.ASCII)
_PATH = re.compile(r"|(?!__)[\w-]+(\.(?!__)[\w-]+)*", re.ASCII)
_CALL = re.compile(r"[^@]*(?:@(\d{1,4}))?")
_PATH_FIELDS = {"fqn", "parameter_name", "buffer_name", "tensor_constant_name"}
_SYMBOL = re.compile(r"[a-z]{1,4}\d{1,4}", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,9}(\.\d{1,20})?", re.ASCII)
_ASSUMPTIONS = {"integer", "positive", "nonnegative", "negative", "real", "zero", "nonzero", "even", "odd", "precision"}
_TEXT_LENGTH = 200
_EXPRESSION_LENGTH = 2000
_INTEGER = 2**31
# What sympy.srepr writes of sizes; without powers, which a short text can make as large as the memory.
_FUNCTIONS = {
    *("Symbol", "Integer", "Float", "Add", "Mul", "Max", "Min", "Mod", "Rational"),
    *("Equality", "Unequality", "GreaterThan", "LessThan", "StrictGreaterThan", "StrictLessThan"),
    *("Eq", "Ne", "Ge", "Le", "Gt", "Lt", "And", "Or", "Not"),
    *("FloorDiv", "CeilDiv", "CleanDiv", "ModularIndexing", "PythonMod", "IntTrueDiv", "FloatTrueDiv"),
    *("ToFloat", "TruncToInt", "FloorToInt", "CeilToInt", "RoundToInt", "Identity"),
}
_SYNTAX = (
    *(ast.Expression, ast.Call, ast.Name, ast.Load, ast.keyword, ast.Constant, ast.UnaryOp, ast.USub, ast.BinOp),
    *(ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.Compare, ast.Eq, ast.NotEq),
    *(ast.Lt, ast.LtE, ast.Gt, ast.GtE),
)
_ROOT = "L__self__"
# PyTorch's mark for a node that belongs to the module around it.
_NO_MODULE = "_empty_nn_module_stack_from_metadata_hook"


def checked(content: Any, file: str) -> schema.ExportedProgram:
    """The program in a file's JSON, with nothing in it that could run code.

    Its state is on the CPU, its only input positional, its outputs flat; of the metadata it keeps the modules.

    Raises:
        InvalidRequest: when it is no program, or asks for more than operators on tensors; names the first.
    """
    try:
        program: schema.ExportedProgram = _dict_to_dataclass(schema.ExportedProgram, content)  # type: ignore[no-untyped-call]
        _prune(program)
        for symbol in program.range_constraints:  # PyTorch counts to the number in it
            _require(_SYMBOL.fullmatch(symbol), f"{symbol[:60]!r} is no name of a size")
        for part in (program.graph_module, program.opset_version, program.range_constraints):
            _check(part)
        _write_convention(program.graph_module)
    except _RefusedError as error:
        raise InvalidRequest(f"'{file}' was not opened: {error}", file=file) from None
    except Exception as error:  # JSON of another shape may raise anything
        raise InvalidRequest(
            f"'{file}' holds no program that PyTorch {torch.__version__} reads: export it again with this version",
            file=file,
        ) from error
    return program


class _RefusedError(Exception):
    """Something that is not known to be harmless."""


def _prune(program: schema.ExportedProgram) -> None:
    """Drops what other uses of a program need."""
    module = program.graph_module
    program.verifiers, program.guards_code = ["TRAINING"], []
    module.metadata, module.treespec_namedtuple_fields = {}, {}
    module.module_call_graph = [
        schema.ModuleCallEntry(entry.fqn) for entry in module.module_call_graph if "@" not in entry.fqn
    ]
    # Constants become buffers, which follow the module to another device.
    module.signature.input_specs = [_as_buffer(spec) for spec in module.signature.input_specs]


def _write_convention(module: schema.GraphModule) -> None:
    """How the program is called: with one positional input, for a list of its outputs, however deep they were."""
    outputs = len(module.signature.output_specs)
    module.module_call_graph[0].signature = schema.ModuleCallSignature(
        inputs=[],
        outputs=[],
        in_spec=pytree.treespec_dumps(pytree.tree_structure(((0,), {}))),
        out_spec=pytree.treespec_dumps(pytree.tree_structure([0] * outputs if outputs != 1 else 0)),
    )


def _as_buffer(spec: schema.InputSpec) -> schema.InputSpec:
    if spec.type != "tensor_constant":
        return spec
    constant = spec.tensor_constant
    return schema.InputSpec.create(
        buffer=schema.InputToBufferSpec(arg=constant.arg, buffer_name=constant.tensor_constant_name, persistent=False)
    )


def _check(value: Any, field: str = "") -> None:
    """Goes through everything that a part of the program holds; puts its tensors on the CPU."""
    match value:
        case schema.Node():
            _check_call(value)
        case schema.SymExpr(expr_str=text, hint=hint):
            _check_expression(text)
            _check(hint)
        case _Union():
            _check_union(value)
        case schema.Device():
            value.type, value.index = "cpu", None
        case dict():
            for key, entry in value.items():
                _check(key)
                _check(entry)
        case list():
            for entry in value:
                _check(entry, field)
        case str():
            grammar = _PATH if field in _PATH_FIELDS else _NAME
            _require(grammar.fullmatch(value), f"{value[:60]!r} is no name of a value or a module")
        case _ if is_dataclass(value):
            for each in fields(value):
                _check(getattr(value, each.name), each.name)
        case _:
            _require(isinstance(value, (bool, int, float, type(None))), f"it holds a {type(value).__name__}")


def _check_union(value: _Union) -> None:
    """One of several: an argument of an operator, a size, a kind of input or output."""
    kind = str(value.type)
    _require(kind not in _REFUSED_ARGUMENTS, f"it passes a {kind.removeprefix('as_')} to an operator")
    if isinstance(value, schema.Argument) and kind in {"as_string", "as_strings"}:
        _require(len(str(value.value)) < _TEXT_LENGTH, "it passes a long text to an operator")
    else:
        _check(value.value, kind)


def _require(truth: object, otherwise: str) -> None:
    if not truth:
        raise _RefusedError(otherwise)


def _check_call(node: schema.Node) -> None:
    """The call of one operator on tensors or sizes; of its metadata it keeps the modules around it."""
    aten = _ATEN.fullmatch(node.target)
    if aten:
        name, overload = aten.groups()
        qualified = f"aten::{name}" + ("" if overload == "default" else f".{overload}")
        # Others are functions of TorchScript: `aten::save` writes files.
        known = name in _INTERNAL_OPERATORS or not (name.startswith("_") or _REFUSED_OPERATORS.search(name))
        harmless = known and torch._C._dispatch_has_kernel(qualified)
    else:
        harmless = node.target in _SIZE_OPERATORS
    _require(harmless, f"it calls {node.target[:60]!r}, and only PyTorch's own operators on tensors are run")
    for argument in node.inputs:
        trains = argument.name in _TRAINING and argument.arg.type == "as_bool" and argument.arg.as_bool
        _require(not trains, "it was exported in training mode; call model.eval() before torch.export.export")
    _check(node.inputs)
    _check(node.outputs)
    _check(node.name)
    stack = node.metadata.get("nn_module_stack", "")
    outside = not stack or stack.startswith(_NO_MODULE)
    node.metadata = {"nn_module_stack": ",".join([_NO_MODULE] * 3) if outside else _modules(stack)}


def _modules(stack: str) -> str:
    """The modules around a node, outermost first, as PyTorch keeps them: `key,path,type;...`.

    A later call of a module, `@1` in its key, is a module of its own here, such as `layer1.0.relu~1`, or only the
    first call could be recorded. The types, which may be any text, are left out.
    """
    modules, old, path = [], "", ""
    for module in stack.split(";"):
        key, inner, *_ = module.split(",")
        call = _CALL.fullmatch(key)
        _require(call and _PATH.fullmatch(inner), f"{inner[:60]!r} is no path of a module")
        path, old = path + inner.removeprefix(old) + (f"~{call[1]}" if call and call[1] else ""), inner
        modules.append(f"{_ROOT}{path},{path},Module")
    return ";".join(modules)


def _check_expression(text: str) -> None:
    """An expression of sizes: functions of a list, symbols, numbers."""
    _require(len(text) < _EXPRESSION_LENGTH, "it has a very long expression of sizes")
    refusal = f"{text[:60]!r} is no expression of sizes"
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        raise _RefusedError(refusal) from None
    for part in ast.walk(tree):
        _require(isinstance(part, _SYNTAX) and _is_arithmetic(part), refusal)


def _is_arithmetic(part: ast.AST) -> bool:
    match part:
        case ast.Call(func=function):
            return isinstance(function, ast.Name) and function.id in _FUNCTIONS
        case ast.Name(id=name):
            return name in _FUNCTIONS or name in {"true", "false"} or bool(_SYMBOL.fullmatch(name))
        case ast.keyword(arg=name):
            return name in _ASSUMPTIONS
        case ast.Constant(value=str(text)):
            return bool(_SYMBOL.fullmatch(text) or _DECIMAL.fullmatch(text))
        case ast.Constant(value=value):
            return isinstance(value, int) and abs(value) < _INTEGER
    return True
