"""The contracts of keys, masks and normals in plain Python: every round of every block.

Written from the contract alone, so that a mistake in a backend is not a mistake here.
"""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray


def philox4x32_10(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, int, int, int]:
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, 1 << 32)
        high1, low1 = divmod(0xCD9E8D57 * c2, 1 << 32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % (1 << 32), (k1 + 0xBB67AE85) % (1 << 32)
    return c0, c1, c2, c3


def uniforms(key: tuple[int, int], stream: int, block: int) -> list[int]:
    """Return U_i for the 128 elements of a block."""
    numbers = [0] * 128
    for r in range(32):
        counter = (
            block % (1 << 32),
            block >> 32 | r << 24,
            stream % (1 << 32),
            stream >> 32,
        )
        words = philox4x32_10(counter, key)
        for lane in range(128):
            word, bit = divmod(lane, 32)
            numbers[lane] = numbers[lane] << 1 | words[word] >> bit & 1
    return numbers


def events(key: tuple[int, int], stream: int, first_block: int, blocks: int) -> NDArray[np.uint64]:
    """Return U_i of consecutive blocks, to be compared with any threshold."""
    numbers = [u for b in range(blocks) for u in uniforms(key, stream, first_block + b)]
    return np.array(numbers, np.uint64)


# ---- keys ----

Words = tuple[int, int, int, int]


def child(key: Words, tag: int, number: int) -> Words:
    """Return the four words of a child, of a key of four words."""
    counter = (number % 2**32, number // 2**32 + tag * 2**24, key[2], key[3])
    return philox4x32_10(counter, key[:2])


def fold_in(key: Words, data: int | str) -> Words:
    if isinstance(data, int):
        return child(key, 240, data)
    digest = hashlib.blake2b(data.encode("utf-8", "surrogatepass"), digest_size=7).digest()
    return child(key, 241, sum(octet << 8 * i for i, octet in enumerate(digest)))


def split(key: Words, n: int) -> list[Words]:
    return [child(key, 242, number) for number in range(n)]


# ---- normals ----

# Wichura's PPND16, by rising powers: a and b, c and d, e and f of the paper.
PPND16 = {
    "a": "3.3871328727963666080e0 1.3314166789178437745e2 1.9715909503065514427e3 "
    "1.3731693765509461125e4 4.5921953931549871457e4 6.7265770927008700853e4 "
    "3.3430575583588128105e4 2.5090809287301226727e3",
    "b": "1.0 4.2313330701600911252e1 6.8718700749205790830e2 5.3941960214247511077e3 "
    "2.1213794301586595867e4 3.9307895800092710610e4 2.8729085735721942674e4 "
    "5.2264952788528545610e3",
    "c": "1.42343711074968357734e0 4.63033784615654529590e0 5.76949722146069140550e0 "
    "3.64784832476320460504e0 1.27045825245236838258e0 2.41780725177450611770e-1 "
    "2.27238449892691845833e-2 7.74545014278341407640e-4",
    "d": "1.0 2.05319162663775882187e0 1.67638483018380384940e0 6.89767334985100004550e-1 "
    "1.48103976427480074590e-1 1.51986665636164571966e-2 5.47593808499534494600e-4 "
    "1.05075007164441684324e-9",
    "e": "6.65790464350110377720e0 5.46378491116411436990e0 1.78482653991729133580e0 "
    "2.96560571828504891230e-1 2.65321895265761230930e-2 1.24266094738807843860e-3 "
    "2.71155556874348757815e-5 2.01033439929228813265e-7",
    "f": "1.0 5.99832206555887937690e-1 1.36929880922735805310e-1 1.48753612908506148525e-2 "
    "7.86869131145613259100e-4 1.84631831751005468180e-5 1.42151175831644588870e-7 "
    "2.04426310338993978564e-15",
}


def polynomial(name: str, r: float) -> float:
    value = 0.0
    for coefficient in reversed(PPND16[name].split()):
        value = value * r + float(coefficient)
    return value


def logarithm(p: float) -> float:
    f, e = math.frexp(p)
    f, e = f * 2, e - 1
    if f > 1.4142135623730951:
        f, e = f * 0.5, e + 1
    s = (f - 1) / (f + 1)
    total = 0.0
    for k in range(21, 1, -2):
        total = total * (s * s) + 1 / k
    log_f = (s + s) + (s + s) * (s * s * total)
    high, low = float.fromhex("0x1.62e42fefa3800p-1"), float.fromhex("0x1.ef35793c76730p-45")
    return e * high + (log_f + e * low)


def quantile(v: int) -> float:
    """Return the standard normal of a 64-bit number."""
    p = ((v >> 11) % 2**52 + 0.5) / 2**53
    q = 0.5 - p
    if q <= 0.425:
        r = 0.180625 - q * q
        z = q * polynomial("a", r) / polynomial("b", r)
    else:
        r = math.sqrt(-logarithm(p))
        if r <= 5:
            z = polynomial("c", r - 1.6) / polynomial("d", r - 1.6)
        else:
            z = polynomial("e", r - 5) / polynomial("f", r - 5)
    return -z if v >> 63 else z


def normal(key: tuple[int, int], stream: int, i: int) -> float:
    c = i // 2
    counter = (c % 2**32, c // 2**32 + 64 * 2**24, stream % 2**32, stream // 2**32)
    w = philox4x32_10(counter, key)
    return quantile(w[2 * (i % 2)] + w[2 * (i % 2) + 1] * 2**32)


# ---- models ----


def dropped(
    words: tuple[int, int, int], call: int, stream: int, first: int, count: int, rate: float
) -> NDArray[np.bool_]:
    """Return which elements the call of a model with this number drops."""
    k0, k1, base = words
    k0, k1, low, high = fold_in((k0, k1, base % 2**32, base >> 32), call)
    base = low + high * 2**32
    block, skip = divmod(first, 128)
    blocks = -(-(skip + count) // 128)
    numbers = events((k0, k1), (base + stream) % 2**64, block, blocks)
    return numbers[skip : skip + count] < round(rate * 2**32)
