"""Module: the base of every layer and model. It registers parameters, buffers and submodules.

Assignment registers: `self.weight = Parameter(...)` puts the parameter into `_parameters`, and a module goes into
`_modules`. Everything that walks over a model (`parameters()`, `state_dict()`, `train()`, `repr`) reads these tables.
Names, order and semantics are those of `torch.nn.Module`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from convcore.absent import Explanation
from convcore.autograd.clear import clear_gradients
from convcore.errors import AbsentError, ConvcoreError, DTypeError
from convcore.nn.base.hooks import TakesHooks
from convcore.nn.base.state import LoadResult, load_into
from convcore.nn.parameter import Parameter
from convcore.ops.core.dtypes import float32, float64
from convcore.ops.core.public_api import refuse_foreign
from convcore.ops.core.transfer import gpu
from convcore.tensor import Tensor


class Module(TakesHooks):
    """A layer or a model. Subclass it, call `super().__init__()` first, assign the parts, and define `forward`.

    Attributes:
        training: True after `train()` (the default), False after `eval()`; dropout and batch norm behave accordingly.
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _non_persistent: set[str]
    _modules: dict[str, Module | None]

    def __init__(self) -> None:
        tables = {"training": True, "_parameters": {}, "_buffers": {}, "_non_persistent": set(), "_modules": {}}
        self.__dict__.update(tables)

    # Calling

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.forward(*args, **kwargs) if self._hooks is None else self._hooks.call(self, args, kwargs)
        except ConvcoreError as error:
            self._locate(error)
            raise
        except AttributeError as error:
            self._explain(error)
            raise

    def _explain(self, error: AttributeError) -> None:
        """Raise the error that names the argument, if an operation was given something other than a tensor."""
        try:
            refuse_foreign(error)
        except ConvcoreError as explained:
            self._locate(explained)
            raise

    def _locate(self, error: ConvcoreError) -> None:
        """Add to an error the path of the failing layer in this module. The outermost module is the last to do so."""
        layer = vars(error).setdefault("layer", self)  # the innermost module that raised the error
        for path, module in self.named_modules():
            if module is layer:
                error.module_path = f"{path} ({type(layer).__name__})" if path else type(layer).__name__
                return

    # Registration

    def _table(self, name: str, what: str) -> dict[str, Any]:
        """One of the tables; they do not exist before `Module.__init__`."""
        if name not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: cannot assign {what} before Module.__init__() call; "
                "make super().__init__() the first line of its __init__"
            )
        return self.__dict__[name]

    def _check_name(self, what: str, name: str, own: dict[str, Any]) -> None:
        owner = type(self).__name__
        if not isinstance(name, str):
            raise TypeError(f"{owner}: the name of a {what} must be a string, got {type(name).__name__}")
        if name == "" or "." in name:
            raise KeyError(f'{owner}: the name of a {what} must not be empty or contain ".", got {name!r}')
        if name not in own and hasattr(self, name):
            raise KeyError(f"{owner}: attribute {name!r} already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter. None reserves the name: a layer without bias has `bias` None, which `state_dict` omits."""
        parameters = self._table("_parameters", f"parameter {name!r}")
        self._check_name("parameter", name, parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"{type(self).__name__}: parameter {name!r} must be a Parameter or None, got {type(param).__name__}"
            )
        if param is not None and not param.is_leaf:
            raise ValueError(
                f"{type(self).__name__}: parameter {name!r} was computed by recorded operations, which would be "
                "replayed at every backward; create a new Parameter from its detach()"
            )
        parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is part of the state but not trained, such as a running mean.

        Args:
            persistent: whether `state_dict()` contains it.
        """
        buffers = self._table("_buffers", f"buffer {name!r}")
        self._check_name("buffer", name, buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"{type(self).__name__}: buffer {name!r} must be a Tensor or None, got {type(tensor).__name__}"
            )
        buffers[name] = tensor
        if persistent:
            self._non_persistent.discard(name)
        else:
            self._non_persistent.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module, as `self.name = module` does; here the name may be any string without a dot."""
        modules = self._table("_modules", f"module {name!r}")
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: {type(module).__name__} is not a Module subclass")
        self._check_name("module", name, modules)
        modules[name] = module

    register_module = add_module

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._table("_parameters", f"parameter {name!r}")
            self._forget(name, keep="_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            modules = self._table("_modules", f"module {name!r}")
            self._forget(name, keep="_modules")
            self._check_name("module", name, modules)
            modules[name] = value
        elif name in self.__dict__.get("_parameters", ()):
            if value is not None:
                raise TypeError(
                    f"{type(self).__name__}: cannot assign {type(value).__name__} as parameter {name!r} "
                    "(a Parameter or None expected)"
                )
            self._parameters[name] = None
        elif name in self.__dict__.get("_modules", ()):
            if value is not None:
                raise TypeError(
                    f"{type(self).__name__}: cannot assign {type(value).__name__} as child module {name!r} "
                    "(a Module or None expected)"
                )
            self._modules[name] = None
        elif name in self.__dict__.get("_buffers", ()):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"{type(self).__name__}: cannot assign {type(value).__name__} as buffer {name!r} "
                    "(a Tensor or None expected)"
                )
            self._buffers[name] = value
        else:
            super().__setattr__(name, value)

    def _forget(self, name: str, keep: str = "") -> None:
        """Delete any attribute or table entry of this name, except in the table `keep`."""
        self.__dict__.pop(name, None)
        for table in ("_parameters", "_buffers", "_modules"):
            if table != keep:
                self.__dict__[table].pop(name, None)
        if keep != "_buffers":
            self._non_persistent.discard(name)

    def __getattr__(self, name: str) -> Any:
        # Python calls this only when the usual look-up has failed. During unpickling the tables may not exist yet.
        tables = self.__dict__
        for table in ("_parameters", "_buffers", "_modules"):
            if table in tables and name in tables[table]:
                return tables[table][name]
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        own = [key for table in ("_parameters", "_buffers", "_modules") for key in tables.get(table, ())]
        raise AbsentError(Explanation(type(self), name, tuple(own)))

    def __delattr__(self, name: str) -> None:
        if any(name in self.__dict__[table] for table in ("_parameters", "_buffers", "_modules")):
            self._forget(name)
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    # Walking

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module under the name `prefix`, then all modules below it, depth first, with dotted names."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it, each once; with remove_duplicate=False as often as they are used."""
        return (module for _, module in self.named_modules(remove_duplicate=remove_duplicate))

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct children, each once, with their names."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct children, each once."""
        return (child for _, child in self.named_children())

    def _named_entries(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        """The entries of one table of this module and, if `recurse`, of all modules below; shared entries come once."""
        seen: set[int] = set()
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        else:
            modules = iter([(prefix, self)])
        for path, module in modules:
            for name, entry in module.__dict__[table].items():
                if entry is None or id(entry) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(entry))
                yield (f"{path}.{name}" if path else name), entry

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with dotted names. A shared parameter comes once, under its first name."""
        return self._named_entries("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once; an optimizer takes these."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """All buffers with dotted names, each once."""
        return self._named_entries("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module with a dotted name, such as "features.3"; "" is this module."""
        module = self
        for name in target.split(".") if target else ():
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(f"{type(module).__name__} has no submodule {name!r} (looking for {target!r})")
            module = child
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with a dotted name, such as "features.3.weight"."""
        return self._entry("_parameters", "parameter", target)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer with a dotted name, such as "features.4.running_mean"."""
        return self._entry("_buffers", "buffer", target)

    def _entry(self, table: str, what: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if name not in module.__dict__[table]:
            raise AttributeError(f"{type(module).__name__} has no {what} {name!r} (looking for {target!r})")
        return module.__dict__[table][name]

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Set the module at a dotted name; with `strict` there must be one already."""
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and name not in parent._modules:
            raise AttributeError(f"{type(parent).__name__} has no submodule {name!r} (looking for {target!r})")
        parent.add_module(name, module)

    # Changing the whole model

    def apply(self, fn: Callable[[Module], Any]) -> Module:
        """Call `fn` on every module, children before their parent, for example to initialise weights. Returns self."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Module:
        """Set training mode here and in all modules below. Returns self."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode must be True or False, got {mode!r}")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Module:
        """Set evaluation mode: dropout is the identity, batch norm uses running statistics. Returns self."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Make all parameters trainable, or freeze them. Returns self."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or set them to zero in place."""
        clear_gradients(self.parameters(), set_to_none)

    def to(
        self,
        *targets: Any,
        dtype: Any = None,
        device: Any = None,
        non_blocking: bool = False,
        memory_format: Any = None,
    ) -> Module:
        """Convert or move all floating-point parameters and buffers in place. Returns self.

        The Parameter objects stay the same, so an optimizer that holds them keeps working. Integer counters, such as
        batch norm's `num_batches_tracked`, stay on the CPU, because only the CPU reads them.

        Args:
            targets: float32 or float64, a device ("cpu", "cuda", "auto"), or a tensor with the wanted dtype and device.
            dtype, device: the same as keywords.
            non_blocking, memory_format: without effect: convolutions pack their weights in the kernels' own layout.

        Raises:
            DeviceError: no GPU can be used; the message says why and what to do.
        """
        tensors: list[Tensor] = [*self.parameters(), *self.buffers()]
        tensors = [tensor for tensor in tensors if tensor.array.dtype.kind == "f"]
        converted = [tensor.detach().to(*targets, dtype=dtype, device=device) for tensor in tensors]
        for tensor, value in zip(tensors, converted, strict=True):
            if value.array.dtype.kind != "f":
                raise DTypeError(f"to: a module can be converted to float32 or float64, got {value.array.dtype}")
            if value.array.dtype != tensor.array.dtype or value.device != tensor.device:
                gradient, tensor.grad = tensor.grad, None
                tensor.data = value
                tensor.grad = None if gradient is None else gradient.detach().to(value)
        return self

    def cpu(self) -> Module:
        """Move to the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Module:
        """Move to the GPU; raises DeviceError if no GPU can be used."""
        return self.to(gpu(device))

    def half(self) -> Module:
        """Refused: modules have no 16-bit floats."""
        raise DTypeError("half: there are no floats of 16 bits; use float()")

    def float(self) -> Module:
        """Convert to float32."""
        return self.to(float32)

    def double(self) -> Module:
        """Convert to float64."""
        return self.to(float64)

    # Saving and loading

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Everything to save: parameters and persistent buffers by dotted name.

        The tensors are detached but share the model's memory: `clone()` those that must survive further training.

        Args:
            destination: a dict that is filled and returned, instead of a new OrderedDict.
            prefix: prepended to every name.
            keep_vars: return the Parameters themselves, not detached.
        """
        state = OrderedDict() if destination is None else destination
        for path, module in self.named_modules(remove_duplicate=False):
            start = prefix + (f"{path}." if path else "")
            for name, entry in (*module._parameters.items(), *module._buffers.items()):
                if entry is not None and name not in module._non_persistent:
                    state[start + name] = entry if keep_vars else entry.detach()
        return state

    def load_state_dict(self, state_dict: dict[str, Any], strict: bool = True, assign: bool = False) -> LoadResult:
        """Copy values into this module's parameters and buffers.

        Args:
            strict: False skips missing and unexpected keys, and warns if no key fits; wrong shapes are always an error.
                The `num_batches_tracked` of batch norm may always be missing.
            assign: use the given tensors, with their dtypes, in place of the module's own. Whether an entry is a
                Parameter and requires a gradient does not change. An optimizer of the old tensors must be recreated.

        Returns:
            A named tuple (missing_keys, unexpected_keys).

        Raises:
            CheckpointError: some entries do not fit; the message lists them, and nothing has been changed.
        """
        own = self.state_dict(keep_vars=True)
        result = load_into(type(self).__name__, own, state_dict, strict, copy=not assign)
        if assign:
            for key in own.keys() & state_dict.keys():
                self._take(key, own[key], state_dict[key])
        return result

    def _take(self, key: str, old: Tensor, new: Tensor) -> None:
        """Replace one of the module's tensors by a loaded one."""
        path, _, name = key.rpartition(".")
        module = self.get_submodule(path)
        if isinstance(old, Parameter):
            taken = new if isinstance(new, Parameter) else Parameter(new.detach(), old.requires_grad)
            module._parameters[name] = taken.requires_grad_(old.requires_grad)
        else:
            module._buffers[name] = new

    # Showing

    def extra_repr(self) -> str:
        """The text between the parentheses of the repr: the settings of a layer."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        settings = self.extra_repr()
        lines = settings.split("\n") if settings else []
        children = [f"({name}): " + indent(repr(child)) for name, child in self._modules.items()]
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({settings})"
        return "\n  ".join([f"{self._get_name()}(", *lines, *children]) + "\n)"


def indent(text: str) -> str:
    """Indent every line but the first by two spaces."""
    return text.replace("\n", "\n  ")
