"""A BODYSTRUCTURE or ENVELOPE taken apart into named places, so that a difference has a name, too."""

from dataclasses import dataclass, field

ENVELOPE = ["date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id"]
ADDRESS_FIELDS = ENVELOPE[2:8]


@dataclass(repr=False)
class Body:
    """One part, as a server tells it."""

    main: bytes
    sub: bytes
    parameters: list
    parts: list = field(default_factory=list)
    places: dict = field(default_factory=dict)
    envelope: list = None
    inner: object = None

    def __repr__(self):
        """Short: what lies deeper is told on its own."""
        shape = f"({len(self.parts)} parts)" if self.parts else ""
        return f"{self.main.decode()}/{self.sub.decode('latin-1')}{shape} {self.parameters} {self.places.get('octets', '')}"


@dataclass
class Leaf:
    """The smallest place where two structures part: the part's number, what of it, and both values."""

    path: tuple
    place: str
    ours: object
    theirs: object


def read(value):
    """RFC 3501 §9, `body`; places that are not told are None."""
    if isinstance(value[0], list):
        count = next(at for at, one in enumerate(value) if not isinstance(one, list))
        rest = dict(enumerate(value[count + 1 :]))
        places = {"disposition": rest.get(1), "language": rest.get(2), "location": rest.get(3)}
        return Body(b"multipart", value[count], rest.get(0), [read(one) for one in value[:count]], places)
    main, sub, parameters, name, description, encoding, octets = value[:7]
    body, at = Body(main, sub, parameters), 7
    body.places = {"id": name, "description": description, "encoding": encoding, "octets": octets}
    if main.lower() == b"message" and len(value) > 9 and isinstance(value[7], list):
        body.envelope, body.inner, body.places["lines"], at = value[7], read(value[8]), value[9], 10
    elif main.lower() == b"text":
        body.places["lines"], at = value[7], 8
    rest = dict(enumerate(value[at:]))
    return body if not rest else with_extension(body, rest)


def with_extension(body, rest):
    body.places |= {"md5": rest.get(0), "disposition": rest.get(1), "language": rest.get(2), "location": rest.get(3)}
    return body


def leaves(ours, theirs):
    """Where the bodies of a message part, by part number."""
    return below(ours, theirs, () if ours.parts and theirs.parts else (1,))


def below(ours, theirs, path):
    if ours.main.lower() == theirs.main.lower() == b"multipart" and len(ours.parts) != len(theirs.parts):
        yield Leaf(path, "parts", ours, theirs)
    elif (ours.main, ours.sub) != (theirs.main, theirs.sub):
        yield Leaf(path, "type", ours, theirs)
        return
    elif (ours.inner is None) != (theirs.inner is None):
        yield Leaf(path, "message", ours, theirs)
    if ours.parameters != theirs.parameters:
        yield Leaf(path, "parameters", ours, theirs)
    for place in dict.fromkeys([*ours.places, *theirs.places]):
        mine, other = ours.places.get(place), theirs.places.get(place)
        if mine != other or type(mine) is not type(other):
            yield Leaf(path, place, mine, other)
    for number, (mine, other) in enumerate(zip(ours.parts, theirs.parts), 1):
        yield from below(mine, other, (*path, number))
    if ours.inner and theirs.inner:
        yield from envelope_leaves(ours.envelope, theirs.envelope, path)
        # A message that is no multipart has one part, 1 (RFC 3501 §6.4.5).
        inner = path if ours.inner.parts and theirs.inner.parts else (*path, 1)
        yield from below(ours.inner, theirs.inner, inner)


def envelope_leaves(ours, theirs, path=()):
    for place, mine, other in zip(ENVELOPE, ours, theirs):
        if mine != other or type(mine) is not type(other):
            yield Leaf(path, place, mine, other)


def basic(value):
    """What BODY must say where BODYSTRUCTURE says this."""
    if isinstance(value[0], list):
        parts = [one for one in value[: next(at for at, one in enumerate(value) if not isinstance(one, list))]]
        return [*map(basic, parts), value[len(parts)]]
    if read(value).inner:
        return [*value[:8], basic(value[8]), value[9]]
    return value[: 8 if value[0].lower() == b"text" else 7]


def is_stand_in(value, path):
    """Whether a path leads to the empty part that stands for all the parts that a multipart lacks."""
    body, is_message = read(value), True
    for number in path:
        if body.inner and not is_message:
            body, is_message = body.inner, True
        if is_message and number == 1 and not body.parts:
            is_message = False
            continue
        if number > len(body.parts):
            return False
        if len(body.parts) == 1 and body.parts[0].places.get("octets") == b"0":
            return True
        body, is_message = body.parts[number - 1], False
    return False


def pairs(parameters):
    """Parameters as a list of pairs."""
    return list(zip(parameters[::2], parameters[1::2])) if parameters else []
