"""The arguments of a task: a model made of its parameters, which the API publishes and the worker checks by."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class ArgumentsError(TypeError):
    """The arguments in a message are not what the task takes."""


def arguments_model(task_name: str, function: Callable[..., Any]) -> type[BaseModel]:
    """The parameters of `function` as fields. TypeError for `*args`, `**kwargs` and positional-only ones."""
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if parameter.kind not in NAMED:
            raise TypeError(f"task {task_name}: name each argument instead of {parameter}")
        annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
        fields[parameter.name] = (annotation, ... if parameter.default is parameter.empty else parameter.default)
    title = "".join(word.capitalize() for word in task_name.replace(".", "_").split("_")) + "Arguments"
    return create_model(title, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True), **fields)


def bind_arguments(
    model: type[BaseModel], function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The keyword arguments for `function`, converted to its parameters' types, or ArgumentsError naming each fault."""
    try:
        given = model.model_validate(inspect.signature(function).bind(*args, **kwargs).arguments)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ArgumentsError("; ".join(faults)) from None
    except TypeError as error:
        raise ArgumentsError(str(error)) from None
    return {name: getattr(given, name) for name in type(given).model_fields}
