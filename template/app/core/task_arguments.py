"""The arguments of a task: a model made of its parameters, which the API publishes and the worker checks by."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class ArgumentsError(TypeError):
    """The arguments in a message are not what the task takes."""


class TaskArguments:
    """What `function`, the body of the task, takes. TypeError where it does not name each of its parameters."""

    def __init__(self, task_name: str, function: Callable[..., Any]) -> None:
        self._signature = inspect.signature(function, eval_str=True)
        self.model = _model(task_name, self._signature)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """As keyword arguments, converted to the parameters' types, or ArgumentsError naming each fault."""
        try:
            given = self.model.model_validate(self._signature.bind(*args, **kwargs).arguments)
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise ArgumentsError("; ".join(faults)) from None
        except TypeError as error:
            raise ArgumentsError(str(error)) from None
        return {name: getattr(given, name) for name in self.model.model_fields}


def _model(task_name: str, signature: inspect.Signature) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        if parameter.kind not in NAMED:
            raise TypeError(f"task {task_name}: name each argument instead of {parameter}")
        annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
        fields[parameter.name] = (annotation, ... if parameter.default is parameter.empty else parameter.default)
    title = "".join(word.capitalize() for word in task_name.replace(".", "_").split("_")) + "Arguments"
    return create_model(title, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True), **fields)
