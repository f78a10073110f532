"""What can go wrong at the user's side, as typed errors with a code, in one table."""

from typing import ClassVar, NamedTuple


class Kind(NamedTuple):
    title: str
    exit_code: int


# Exit codes are netc's: 1 an input is at fault, 2 the call is, 3 the environment is.
CODES: dict[str, Kind] = {
    "R101": Kind("the model file cannot be opened", 1),
    "R102": Kind("the model path is not a regular file", 1),
    "R103": Kind("the model file is empty", 1),
    "R104": Kind("the model file is a git-LFS pointer", 1),
    "R105": Kind("the model file is of another format", 1),
    "R106": Kind("the model file is truncated or not ONNX", 1),
    "R107": Kind("ONNX Runtime refuses the model", 1),
    "R108": Kind("the manifest is not valid", 1),
    "R109": Kind("the manifest's schema is newer than this runtime", 1),
    "R110": Kind("the manifest does not describe its graph", 1),
    "R111": Kind("the golden example does not reproduce", 1),
    "R112": Kind("the model lacks what the call needs", 1),
    "R113": Kind("a requirement cannot be evaluated", 1),
    "R114": Kind("the model's file of weights is missing or not whole", 1),
    "R115": Kind("the model takes more memory than it may", 1),
    "R116": Kind("the model takes longer than it may", 1),
    "R117": Kind("the model ends the process that loads it", 1),
    "R118": Kind("a tensor's numbers lie where none are read", 1),
    "R201": Kind("an input is not an array of numbers", 1),
    "R202": Kind("an input has the wrong element type", 1),
    "R203": Kind("an input has the wrong rank", 1),
    "R204": Kind("an input has a side of the wrong size", 1),
    "R205": Kind("one symbol is given two sizes", 1),
    "R206": Kind("the sizes break a requirement of the spec", 1),
    "R207": Kind("the inputs' names do not match", 1),
    "R208": Kind("the model fails on this input", 1),
    "R209": Kind("too many rows for a model that cannot be split", 1),
    "R210": Kind("these are not this model's outputs", 1),
    "R211": Kind("the file of arrays cannot be read", 1),
    "R301": Kind("the image cannot be opened", 1),
    "R302": Kind("the image is empty", 1),
    "R303": Kind("the file is not an image of a known format", 1),
    "R304": Kind("the image is truncated or corrupt", 1),
    "R305": Kind("the image has too many pixels", 1),
    "R306": Kind("the pixels have no defined 8-bit value", 1),
    "R307": Kind("the prepared image has the wrong size", 1),
    "R308": Kind("the pixels do not suit the recipe", 1),
    "R309": Kind("the image file is too large", 1),
    "R401": Kind("ONNX Runtime is not installed, or broken", 3),
    "R402": Kind("two ONNX Runtime wheels are installed over one another", 3),
    "R403": Kind("the device asked for is not available", 3),
    "R404": Kind("a setting has no such value", 2),
    "R405": Kind("the result cannot be written", 3),
    "R406": Kind("a package that the runtime needs is not installed, or broken", 3),
    "R407": Kind("the folder of the session cache cannot be read", 3),
    "R408": Kind("the address cannot be listened at", 3),
    "R409": Kind("there is no such setting", 2),
    "R410": Kind("a file that a setting names cannot be read", 1),
    "R411": Kind("the certificate and its key cannot be used", 1),
    "R501": Kind("the body is not JSON", 1),
    "R502": Kind("the body is no object", 1),
    "R503": Kind("a key stands twice, or the body is nested too deep", 1),
    "R504": Kind("a part of the request is not the protocol's", 1),
    "R505": Kind("the request's inputs are not the model's", 1),
    "R506": Kind("an input's shape or datatype is not the model's", 1),
    "R507": Kind("the bytes of the body are not as they are announced", 1),
    "R508": Kind("an input's data are not of its shape", 1),
    "R509": Kind("an input's data are not of its datatype", 1),
    "R510": Kind("the outputs asked for are not the model's", 1),
    "R511": Kind("an output cannot be written as JSON", 1),
    "R512": Kind("an output has no classes", 1),
    "R513": Kind("the form is not whole, or not one of pictures", 1),
    "R514": Kind("the form has too many parts", 1),
    "R530": Kind("the queue is full", 3),
    "R531": Kind("the model takes no more requests", 3),
    "R532": Kind("the deadline passed in the queue", 3),
    "R533": Kind("the model fails on this request", 1),
    "R534": Kind("memory does not suffice for this request", 3),
    "R535": Kind("the model's worker has died", 3),
    "R536": Kind("the request is larger than the queue, or than what is read", 1),
    "R537": Kind("the server reads as many bytes as it may", 3),
    "R540": Kind("there is no such model", 1),
    "R541": Kind("the model has no such version", 1),
    "R542": Kind("the model repository cannot be read", 1),
    "R543": Kind("the model cannot be loaded", 1),
    "R544": Kind("the model is not ready", 1),
    "R545": Kind("there are more models than the limit", 1),
    "R546": Kind("the model's files changed while they were read", 1),
}

# The HTTP status of what a server answers; the other families' are the server's to choose.
STATUSES: dict[str, int] = {
    **{f"R5{number:02}": 400 for number in range(1, 11)},
    "R511": 422,
    "R512": 400,
    "R513": 400,
    "R514": 413,
    "R530": 503,
    "R531": 503,
    "R532": 504,
    "R533": 500,
    "R534": 503,
    "R535": 503,
    "R536": 413,
    "R537": 503,
    "R540": 404,
    "R541": 404,
    "R542": 503,
    "R543": 400,
    "R544": 503,
    "R545": 400,
    "R546": 503,
}


class RuntimeFault(Exception):
    """An error of the user's model, request, image or environment; never a bug of ours.

    `message` names the file or input and says what was got and what was expected; `help` is a way out.
    """

    family: ClassVar[str] = "R"

    def __init__(self, code: str, message: str, help: str) -> None:
        assert code in CODES, code
        assert code.startswith(self.family), (type(self), code)
        super().__init__(code, message, help)
        self.code = code
        self.message = message
        self.help = help

    @property
    def exit_code(self) -> int:
        return CODES[self.code].exit_code

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]; {self.help}"

    def render(self) -> str:
        """Give the words for a terminal, the compiler's way."""
        return f"error[{self.code}]: {printable(self.message)}\n  = help: {printable(self.help)}"


class ModelFault(RuntimeFault):
    """The model file, its manifest or its graph is at fault."""

    family = "R1"


class ManifestError(ModelFault):
    """The manifest is not valid, is newer than this runtime, or holds a requirement that cannot be evaluated."""


class RequestFault(RuntimeFault):
    """The tensors of a request are at fault."""

    family = "R2"


class ImageFault(RuntimeFault):
    """An image is at fault."""

    family = "R3"


class EnvironmentFault(RuntimeFault):
    """The installation, the machine or a setting is at fault."""

    family = "R4"


class ServeFault(RuntimeFault):
    """A request that a server does not answer with tensors; `retry_after_s` says when to come again, where it helps."""

    family = "R5"

    def __init__(self, code: str, message: str, help: str, retry_after_s: float | None = None) -> None:
        super().__init__(code, message, help)
        self.retry_after_s = retry_after_s
        self.counted = False  # by a model's tally

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUSES[self.code]


def printable(text: str) -> str:
    """Give text without characters that would steer a terminal or break a line: labels and names are strangers'."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
