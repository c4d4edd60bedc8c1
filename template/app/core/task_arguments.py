"""The arguments of a task: a model made of its parameters, which the API publishes and the worker checks by."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from app.core.strict_json import Fault, find_faults

NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class ArgumentsError(TypeError):
    """The arguments in a message are not what the task takes."""


class TaskArguments:
    """What `function`, the body of the task, takes. TypeError where it does not name each of its parameters."""

    def __init__(self, task_name: str, function: Callable[..., Any]) -> None:
        self._signature = inspect.signature(function, eval_str=True)
        self.model = _model(task_name, self._signature)
        returned = self._signature.return_annotation
        self.result: Any = Any if returned is inspect.Signature.empty else returned
        """What the task returns, as it says itself."""

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """As keyword arguments, converted to the parameters' types, or ArgumentsError naming each fault."""
        try:
            named = self._signature.bind(*args, **kwargs).arguments
            if faults := list(find_faults(named)):
                raise ArgumentsError(_describe(faults))
            given = self.model.model_validate(named)
        except ValidationError as error:
            raise ArgumentsError(_describe(Fault(fault["loc"], fault["msg"]) for fault in error.errors())) from None
        except TypeError as error:
            raise ArgumentsError(str(error)) from None
        return {name: getattr(given, name) for name in self.model.model_fields}


def _describe(faults: Iterable[Fault]) -> str:
    return "; ".join(f"{'.'.join(map(str, fault.place))}: {fault.message}" for fault in faults)


def _model(task_name: str, signature: inspect.Signature) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        if parameter.kind not in NAMED:
            raise TypeError(f"task {task_name}: name each argument instead of {parameter}")
        annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
        fields[parameter.name] = (annotation, ... if parameter.default is parameter.empty else parameter.default)
    title = "".join(word.capitalize() for word in task_name.replace(".", "_").split("_")) + "Arguments"
    config = ConfigDict(
        extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False, json_schema_extra=_add_example
    )
    return create_model(title, __config__=config, **fields)


def _add_example(schema: dict[str, Any]) -> None:
    """Of the examples and defaults of its fields, unless one that has to be given has neither."""
    known = {
        name: field["examples"][0] if "examples" in field else field["default"]
        for name, field in schema.get("properties", {}).items()
        if "examples" in field or field.get("default") is not None
    }
    if known.keys() >= set(schema.get("required", [])):
        schema["examples"] = [known]
