# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: freethreading_compatible=True
"""Pointers out, GIL released, C called. Arguments arrive checked; nothing is decided here."""

cimport cython
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport INT64_MAX, UINT32_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

import numpy as np

from fastdrop import _check, _threads
from fastdrop._csrc cimport *

cnp.import_array()

cdef dict FUNCTIONS = {
    "linear": FD_LINEAR,
    "tanh": FD_TANH,
    "sigmoid": FD_SIGMOID,
    "relu": FD_RELU,
    "hard_sigmoid": FD_HARD_SIGMOID,
    "hard_sigmoid_legacy": FD_HARD_SIGMOID_LEGACY,
    "relu6": FD_RELU6,
    "leaky_relu": FD_LEAKY_RELU,
    "elu": FD_ELU,
    "selu": FD_SELU,
    "celu": FD_CELU,
    "gelu": FD_GELU,
    "gelu_tanh": FD_GELU_TANH,
    "silu": FD_SILU,
    "mish": FD_MISH,
    "softplus": FD_SOFTPLUS,
    "log_sigmoid": FD_LOG_SIGMOID,
    "softsign": FD_SOFTSIGN,
    "exponential": FD_EXPONENTIAL,
    "hard_silu": FD_HARD_SILU,
    "hard_tanh": FD_HARD_TANH,
    "tanh_shrink": FD_TANH_SHRINK,
    "soft_shrink": FD_SOFT_SHRINK,
    "hard_shrink": FD_HARD_SHRINK,
    "threshold": FD_THRESHOLD,
    "sparse_plus": FD_SPARSE_PLUS,
    "sparse_sigmoid": FD_SPARSE_SIGMOID,
    "squareplus": FD_SQUAREPLUS,
    "softmax": FD_SOFTMAX,
    "log_softmax": FD_LOG_SOFTMAX,
}

# Bytes of panels that are packed between two looks for Ctrl-C.
cdef size_t PACKED_AT_ONCE = 4 << 20

cdef dict CELLS = {"lstm": FD_LSTM, "gru": FD_GRU, "simple_rnn": FD_SIMPLE_RNN}


cdef dict EVENTS = {kind: dtype.num for kind, dtype in _check.EVENT_TYPES.items()}
cdef long long PIECE = _threads.PIECE_ELEMENTS, MAX_THREADS = _check.MAX_THREADS
cdef dict WIDTHS = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
cdef dict SCALES = {}  # of `_check.scale`, by threshold and type
cdef enum: MOST_AXES = 8


cdef struct Draw:
    fd_stream stream
    uint64_t first
    long long n


cdef bint is_in(value, long long low, long long high, long long *number) except -1:
    """Whether it is an int, neither a bool nor of NumPy, from `low` to `high`: then `number`."""
    cdef int overflow
    if type(value) is not int:
        return False
    number[0] = PyLong_AsLongLongAndOverflow(value, &overflow)
    return overflow == 0 and low <= number[0] <= high


cdef bint is_rate(p, uint64_t *threshold) except -1:
    """Whether it is a float in [0, 1]: then T of the mask contract."""
    cdef double t
    if type(p) is not float:
        return False
    t = <double>p * 4294967296.0
    if not 0 <= t <= 4294967296.0:
        return False
    threshold[0] = <uint64_t>t
    t -= <double>threshold[0]  # exact, so that half to even needs no rounding mode
    if t > 0.5 or (t == 0.5 and threshold[0] & 1):
        threshold[0] += 1
    return True


cdef bint is_draw(p, key, number, offset, threads, Draw *draw) except -1:
    """Whether draw.n elements are a piece, and the rest is in range: then the rest of `draw`."""
    cdef long long first, below, count
    if not 0 < draw.n <= PIECE or not is_rate(p, &draw.stream.threshold):
        return False
    if threads is not None and not is_in(threads, 1, MAX_THREADS, &count):
        return False
    if not is_in(offset, 0, INT64_MAX - draw.n, &first):
        return False
    if not is_in(number, 0, INT64_MAX, &below):
        return False
    draw.first = first
    draw.stream.k0, draw.stream.k1 = key.k0, key.k1
    draw.stream.stream = <uint64_t>key.base + <uint64_t>below
    return True


cdef struct Plain:
    uint64_t input, recurrent  # the thresholds
    uint64_t number, first_row
    size_t gates


cdef bint is_plain(dict options, Packed packed, size_t rows, long long last_site,
                   Plain *plain) except -1:
    """Whether options of `rnn` are of their plainest types and in range: then what is drawn."""
    cdef size_t units = packed.weights.units, width = max(packed.weights.features, units)
    cdef long long site, sample, first_row, threads
    scheme = options["scheme"]
    if not isinstance(scheme, str) or scheme not in ("per_gate", "tied"):
        return False
    plain.gates = 1 if scheme == "tied" else packed.kernel.shape[1] // units
    if not is_rate(options["dropout"], &plain.input) or plain.input >> 32:
        return False
    if not is_rate(options["recurrent_dropout"], &plain.recurrent) or plain.recurrent >> 32:
        return False
    if not is_in(options["site"], 0, last_site, &site):
        return False
    if not is_in(options["sample"], 0, UINT32_MAX, &sample):
        return False
    if not is_in(options["row_offset"], 0, INT64_MAX // (plain.gates * width) - rows, &first_row):
        return False
    if options["threads"] is not None and not is_in(options["threads"], 1, MAX_THREADS, &threads):
        return False
    for name in ("go_backwards", "return_sequences", "return_state"):
        if options[name] is not True and options[name] is not False:
            return False
    plain.number, plain.first_row = <uint64_t>site << 32 | <uint64_t>sample, first_row
    return True


cdef bint is_shape(shape, cnp.npy_intp *axes, int *ndim, long long *n) except -1:
    """Whether it is an int or a tuple of some, of no more than a piece: then the others."""
    cdef long long length
    if type(shape) is not tuple:
        shape = (shape,)
    if len(<tuple>shape) > MOST_AXES:
        return False
    ndim[0], n[0] = 0, 1
    for axis in <tuple>shape:
        if not is_in(axis, 0, PIECE, &length):
            return False
        axes[ndim[0]] = <cnp.npy_intp>length
        ndim[0] += 1
        n[0] *= length
        if n[0] > PIECE:
            return False
    return True


cdef bint is_output(out, int ndim, const cnp.npy_intp *axes, int kind):
    """Whether it is an array of that shape and type, which can be written as it lies."""
    cdef int k
    if not cnp.PyArray_CheckExact(out) or cnp.PyArray_TYPE(out) != kind:
        return False
    if cnp.PyArray_NDIM(out) != ndim or not cnp.PyArray_ISCARRAY(out):
        return False
    for k in range(ndim):
        if cnp.PyArray_DIM(out, k) != axes[k]:
            return False
    return True


cdef bint are_apart(cnp.ndarray a, cnp.ndarray b):
    """Whether two contiguous arrays share no byte."""
    cdef const char *left = cnp.PyArray_BYTES(a)
    cdef const char *right = cnp.PyArray_BYTES(b)
    return left + cnp.PyArray_NBYTES(a) <= right or right + cnp.PyArray_NBYTES(b) <= left


cdef double scale_of(uint64_t threshold, cnp.ndarray x):
    key = threshold << 5 | <uint64_t>cnp.PyArray_TYPE(x)
    scale = SCALES.get(key)
    if scale is None:
        if len(SCALES) >= 128:
            SCALES.clear()
        scale = SCALES[key] = _check.scale(threshold, x.dtype)
    return scale


cdef inline fd_stream stream_of(stream):
    """Read a `Stream`, which is a tuple: its items, not its attributes, which take longer."""
    cdef tuple words = <tuple>stream
    return fd_stream(words[0], words[1], words[2], words[3])


cdef class Native:
    """The C kernels of one instruction-set tier."""

    cdef const fd_kernels *table
    cdef readonly str name, tier, bfloat16
    cdef object in_turn  # asked of the CPU once

    def philox(self, counter, uint32_t k0, uint32_t k1):
        cdef uint32_t[4] words = counter
        fd_philox(words, words, k0, k1)
        return words[0], words[1], words[2], words[3]

    # Masks: arrays instead of typed memoryviews, which take longer than a small mask. Types are
    # told by their width, since NumPy may have several numbers for one; 16 bits that are not
    # NumPy's are bfloat16.

    def bernoulli_packed(self, cnp.ndarray out, stream, uint64_t first, size_t n):
        cdef fd_stream s = stream_of(stream)
        cdef uint8_t *to = <uint8_t *>cnp.PyArray_DATA(out)
        with nogil:
            fd_bernoulli_packed(self.table, to, &s, first, n)

    def bernoulli(self, cnp.ndarray out, stream, uint64_t first):
        self.draw(out, stream_of(stream), first)

    cdef draw(self, cnp.ndarray out, fd_stream s, uint64_t first):
        cdef size_t n = cnp.PyArray_SIZE(out), width = cnp.PyArray_ITEMSIZE(out)
        cdef void *to = cnp.PyArray_DATA(out)
        with nogil:
            if width == 4:
                fd_bernoulli_f32(self.table, <float *>to, &s, first, n)
            elif width == 8:
                fd_bernoulli_f64(self.table, <double *>to, &s, first, n)
            else:
                fd_bernoulli_u8(self.table, <uint8_t *>to, &s, first, n)

    # Small calls, checked here: None where an argument is not of the plainest kind, and nothing
    # has happened. What is right besides, and what is wrong with the others, `_check` says.

    def plain_bernoulli(self, p, shape, key, stream, offset, dtype, out, threads):
        cdef cnp.npy_intp[MOST_AXES] axes
        cdef int ndim, kind
        cdef Draw draw
        if not isinstance(dtype, type) or dtype not in EVENTS:
            return None
        kind = EVENTS[dtype]
        if not is_shape(shape, axes, &ndim, &draw.n):
            return None
        if out is not None and not is_output(out, ndim, axes, kind):
            return None
        if not is_draw(p, key, stream, offset, threads, &draw):
            return None
        if out is None:
            out = cnp.PyArray_SimpleNew(ndim, axes, kind)
        self.draw(out, draw.stream, draw.first)
        return out

    def plain_dropout(self, x, rate, key, stream, offset, out, threads):
        cdef cnp.ndarray given
        cdef int kind
        cdef Draw draw
        if not cnp.PyArray_CheckExact(x):
            return None
        given = x
        kind = cnp.PyArray_TYPE(given)
        if kind not in (cnp.NPY_FLOAT16, cnp.NPY_FLOAT32, cnp.NPY_FLOAT64):
            return None
        if not cnp.PyArray_ISCARRAY_RO(given):
            return None
        if out is not None and not (
            is_output(out, cnp.PyArray_NDIM(given), cnp.PyArray_DIMS(given), kind)
            and (out is x or are_apart(given, out))
        ):
            return None
        draw.n = cnp.PyArray_SIZE(given)
        if not is_draw(rate, key, stream, offset, threads, &draw):
            return None
        if out is None:
            out = cnp.PyArray_SimpleNew(cnp.PyArray_NDIM(given), cnp.PyArray_DIMS(given), kind)
        self.drop_array(out, given, scale_of(draw.stream.threshold, given), draw.stream, draw.first)
        return out

    def dropout_at(self, size_t out, size_t x, size_t n, str dtype, double scale, list seed,
                   uint64_t threshold):
        cdef int width = WIDTHS[dtype]
        cdef bint half = dtype == "float16"
        cdef fd_stream stream
        if not (n and out and x) or (out | x) % width:
            return False
        cdef uint64_t key = <uint64_t><int64_t>seed[0]
        stream.k0, stream.k1 = key & 0xFFFFFFFF, key >> 32
        stream.stream, stream.threshold = <uint64_t><int64_t>seed[1], threshold
        with nogil:
            self.drop(<void *>out, <const void *>x, n, width, half, scale, stream, 0)
        return True

    def dropout(self, cnp.ndarray out, cnp.ndarray x, double scale, stream, uint64_t first):
        self.drop_array(out, x, scale, stream_of(stream), first)

    cdef drop_array(self, cnp.ndarray out, cnp.ndarray x, double scale, fd_stream s,
                    uint64_t first):
        cdef size_t n = cnp.PyArray_SIZE(x)
        cdef int width = cnp.PyArray_ITEMSIZE(x)
        cdef bint half = cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT16
        cdef void *to = cnp.PyArray_DATA(out)
        cdef const void *of = cnp.PyArray_DATA(x)
        with nogil:
            self.drop(to, of, n, width, half, scale, s, first)

    cdef void drop(self, void *to, const void *of, size_t n, int width, bint half, double scale,
                   fd_stream s, uint64_t first) noexcept nogil:
        if width == 4:
            fd_dropout_f32(self.table, <float *>to, <const float *>of, <float>scale, &s, first, n)
        elif width == 8:
            fd_dropout_f64(self.table, <double *>to, <const double *>of, scale, &s, first, n)
        elif half:
            fd_dropout_f16(self.table, <uint16_t *>to, <const uint16_t *>of, <float>scale, &s,
                           first, n)
        else:
            fd_dropout_bf16(self.table, <uint16_t *>to, <const uint16_t *>of, <float>scale, &s,
                            first, n)

    def dropout_streams(self, cnp.ndarray out, cnp.ndarray x, double scale, stream,
                        uint64_t first):
        cdef fd_stream s = stream_of(stream)
        cdef size_t j, rows = cnp.PyArray_DIM(out, 0), n = cnp.PyArray_DIM(out, 1)
        cdef int width = cnp.PyArray_ITEMSIZE(x)
        cdef bint half = cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT16
        cdef size_t size = n * width, step = size if cnp.PyArray_DIM(x, 0) > 1 else 0
        cdef char *to = cnp.PyArray_BYTES(out)
        cdef const char *of = cnp.PyArray_BYTES(x)
        with nogil:
            for j in range(rows):
                self.drop(to + j * size, of + j * step, n, width, half, scale, s, first)
                s.stream += 1

    def apply_mask(self, cnp.ndarray out, cnp.ndarray x, double scale, cnp.ndarray bits,
                   tuple lengths, tuple strides, uint64_t first):
        cdef uint64_t[FD_MAX_AXES] length
        cdef uint64_t[FD_MAX_AXES] stride
        cdef fd_layout layout
        cdef size_t axis, n = cnp.PyArray_SIZE(x)
        cdef size_t width = cnp.PyArray_ITEMSIZE(x)
        cdef void *to = cnp.PyArray_DATA(out)
        cdef const void *of = cnp.PyArray_DATA(x)
        cdef const uint8_t *mask = <const uint8_t *>cnp.PyArray_DATA(bits)
        layout.axes, layout.lengths, layout.strides = len(lengths), length, stride
        for axis in range(layout.axes):
            length[axis], stride[axis] = lengths[axis], strides[axis]
        cdef bint half = cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT16
        with nogil:
            if width == 4:
                fd_apply_mask_f32(self.table, <float *>to, <const float *>of, mask,
                                  <float>scale, &layout, first, n)
            elif width == 8:
                fd_apply_mask_f64(self.table, <double *>to, <const double *>of, mask, scale,
                                  &layout, first, n)
            elif half:
                fd_apply_mask_f16(self.table, <uint16_t *>to, <const uint16_t *>of, mask,
                                  <float>scale, &layout, first, n)
            else:
                fd_apply_mask_bf16(self.table, <uint16_t *>to, <const uint16_t *>of, mask,
                                   <float>scale, &layout, first, n)

    def alpha_dropout(self, cnp.ndarray out, cnp.ndarray x, double scale, double shift,
                      double fill, stream, uint64_t first):
        cdef fd_stream s = stream_of(stream)
        cdef size_t n = cnp.PyArray_SIZE(x)
        cdef size_t width = cnp.PyArray_ITEMSIZE(x)
        cdef void *to = cnp.PyArray_DATA(out)
        cdef const void *of = cnp.PyArray_DATA(x)
        with nogil:
            if width == 4:
                fd_alpha_dropout_f32(self.table, <float *>to, <const float *>of, <float>scale,
                                     <float>shift, <float>fill, &s, first, n)
            else:
                fd_alpha_dropout_f64(self.table, <double *>to, <const double *>of, scale, shift,
                                     fill, &s, first, n)

    def apply_alpha(self, cnp.ndarray out, cnp.ndarray x, double scale, double shift,
                    double fill, cnp.ndarray bits, tuple lengths, tuple strides,
                    uint64_t first):
        cdef uint64_t[FD_MAX_AXES] length
        cdef uint64_t[FD_MAX_AXES] stride
        cdef fd_layout layout
        cdef size_t axis, n = cnp.PyArray_SIZE(x)
        cdef size_t width = cnp.PyArray_ITEMSIZE(x)
        cdef void *to = cnp.PyArray_DATA(out)
        cdef const void *of = cnp.PyArray_DATA(x)
        cdef const uint8_t *mask = <const uint8_t *>cnp.PyArray_DATA(bits)
        layout.axes, layout.lengths, layout.strides = len(lengths), length, stride
        for axis in range(layout.axes):
            length[axis], stride[axis] = lengths[axis], strides[axis]
        with nogil:
            if width == 4:
                fd_apply_alpha_f32(self.table, <float *>to, <const float *>of, mask,
                                   <float>scale, <float>shift, <float>fill, &layout, first, n)
            else:
                fd_apply_alpha_f64(self.table, <double *>to, <const double *>of, mask, scale,
                                   shift, fill, &layout, first, n)

    def zoneout(self, cnp.ndarray out, cnp.ndarray previous, cnp.ndarray new, stream,
                uint64_t first):
        cdef fd_stream s = stream_of(stream)
        cdef size_t n = cnp.PyArray_SIZE(out), width = cnp.PyArray_ITEMSIZE(out)
        cdef void *to = cnp.PyArray_DATA(out)
        cdef const void *old = cnp.PyArray_DATA(previous)
        cdef const void *fresh = cnp.PyArray_DATA(new)
        with nogil:
            if width == 4:
                fd_zoneout_u32(self.table, <uint32_t *>to, <const uint32_t *>old,
                               <const uint32_t *>fresh, &s, first, n)
            elif width == 8:
                fd_zoneout_u64(self.table, <uint64_t *>to, <const uint64_t *>old,
                               <const uint64_t *>fresh, &s, first, n)
            else:
                fd_zoneout_u16(self.table, <uint16_t *>to, <const uint16_t *>old,
                               <const uint16_t *>fresh, &s, first, n)

    def gaussian_noise(self, cnp.ndarray out, cnp.ndarray x, double stddev, stream,
                       uint64_t first):
        cdef fd_stream s = stream_of(stream)
        cdef size_t n = cnp.PyArray_SIZE(x)
        cdef size_t width = cnp.PyArray_ITEMSIZE(x)
        cdef void *to = cnp.PyArray_DATA(out)
        cdef const void *of = cnp.PyArray_DATA(x)
        with nogil:
            if width == 4:
                fd_gaussian_noise_f32(self.table, <float *>to, <const float *>of, stddev, &s,
                                      first, n)
            else:
                fd_gaussian_noise_f64(self.table, <double *>to, <const double *>of, stddev, &s,
                                      first, n)

    def gaussian_dropout(self, cnp.ndarray out, cnp.ndarray x, double stddev, stream,
                         uint64_t first):
        cdef fd_stream s = stream_of(stream)
        cdef size_t n = cnp.PyArray_SIZE(x)
        cdef size_t width = cnp.PyArray_ITEMSIZE(x)
        cdef void *to = cnp.PyArray_DATA(out)
        cdef const void *of = cnp.PyArray_DATA(x)
        with nogil:
            if width == 4:
                fd_gaussian_dropout_f32(self.table, <float *>to, <const float *>of, stddev, &s,
                                        first, n)
            else:
                fd_gaussian_dropout_f64(self.table, <double *>to, <const double *>of, stddev,
                                        &s, first, n)

    def activate(self, cnp.ndarray v, activation):
        cdef fd_activation act = activation_of(activation)
        cdef size_t n = cnp.PyArray_SIZE(v), width = cnp.PyArray_ITEMSIZE(v)
        cdef void *to = cnp.PyArray_DATA(v)
        with nogil:
            if width == 4:
                fd_activate_f32(self.table, <float *>to, n, act)
            else:
                fd_activate_f64(self.table, <double *>to, n, act)

    def softmax(self, cnp.ndarray v, bint logarithm):
        cdef size_t rows = v.shape[0], columns = v.shape[1], width = cnp.PyArray_ITEMSIZE(v)
        cdef void *to = cnp.PyArray_DATA(v)
        with nogil:
            if width == 4:
                fd_softmax_f32(self.table, <float *>to, rows, columns, logarithm)
            else:
                fd_softmax_f64(self.table, <double *>to, rows, columns, logarithm)

    def moments(self, cnp.ndarray total, cnp.ndarray squares, cnp.ndarray origin,
                cnp.ndarray values):
        cdef size_t samples = values.shape[0], width = values.shape[1]
        cdef size_t element = cnp.PyArray_ITEMSIZE(values)
        cdef double *sums = <double *>cnp.PyArray_DATA(total)
        cdef double *powers = <double *>cnp.PyArray_DATA(squares)
        cdef const void *begin = cnp.PyArray_DATA(origin)
        cdef const void *of = cnp.PyArray_DATA(values)
        with nogil:
            if element == 4:
                fd_moments_f32(sums, powers, <const float *>begin, <const float *>of, samples,
                               width)
            else:
                fd_moments_f64(sums, powers, <const double *>begin, <const double *>of, samples,
                               width)

    def masks(self, cnp.ndarray out, double scale, stream, uint64_t first):
        self.fill_masks(out, out.shape[0], scale, stream_of(stream), first)

    cdef fill_masks(self, cnp.ndarray out, size_t samples, double scale, fd_stream s,
                    uint64_t first):
        cdef size_t _, i, n = cnp.PyArray_SIZE(out) // samples
        cdef size_t width = cnp.PyArray_ITEMSIZE(out)
        cdef char *row = <char *>cnp.PyArray_DATA(out)
        with nogil:
            for _ in range(samples):
                if width == 4:
                    for i in range(n):
                        (<float *>row)[i] = 1
                    fd_dropout_f32(self.table, <float *>row, <float *>row, <float>scale, &s,
                                   first, n)
                else:
                    for i in range(n):
                        (<double *>row)[i] = 1
                    fd_dropout_f64(self.table, <double *>row, <double *>row, scale, &s, first, n)
                s.stream += 1
                row += n * width

    def dense(self, cnp.ndarray out, cnp.ndarray x, cnp.ndarray kernel, cnp.ndarray bias):
        cdef size_t rows = x.shape[0], inputs = x.shape[1], columns = kernel.shape[1]
        cdef size_t width = cnp.PyArray_ITEMSIZE(out)
        # Of an axis of length 1 NumPy may say anything.
        cdef size_t stride = (out if rows > 1 else kernel).strides[0] // width
        cdef void *to = cnp.PyArray_DATA(out)
        cdef const void *of = cnp.PyArray_DATA(x)
        cdef const void *w = cnp.PyArray_DATA(kernel)
        cdef const void *b = address(bias)
        cdef Scratch scratch = Scratch(fd_dense_scratch(rows, inputs, columns, width))
        with nogil:
            if width == 4:
                fd_dense_f32(self.table, <float *>to, scratch.data, <const float *>of,
                             <const float *>w, <const float *>b, rows, inputs, columns, stride)
            else:
                fd_dense_f64(self.table, <double *>to, scratch.data, <const double *>of,
                             <const double *>w, <const double *>b, rows, inputs, columns, stride)

    def matmul(self, cnp.ndarray out, cnp.ndarray a, cnp.ndarray b):
        cdef size_t n = a.shape[0], rows = a.shape[1], inputs = a.shape[2], columns = b.shape[2]
        cdef size_t width = cnp.PyArray_ITEMSIZE(out)
        cdef void *to = cnp.PyArray_DATA(out)
        cdef const void *left = cnp.PyArray_DATA(a)
        cdef const void *right = cnp.PyArray_DATA(b)
        cdef Scratch scratch = Scratch(fd_dense_scratch(rows, inputs, columns, width))
        with nogil:
            if width == 4:
                fd_matmul_f32(self.table, <float *>to, scratch.data, <const float *>left,
                              <const float *>right, n, rows, inputs, columns)
            else:
                fd_matmul_f64(self.table, <double *>to, scratch.data, <const double *>left,
                              <const double *>right, n, rows, inputs, columns)

    # Recurrent layers

    @property
    def adds_in_turn(self):
        if self.in_turn is None:
            self.in_turn = fd_tier_adds_in_turn(self.table)
        return self.in_turn

    def pack(self, str cell, cnp.ndarray kernel, cnp.ndarray recurrent_kernel, cnp.ndarray bias,
             bint reset_after, activation, recurrent_activation, bint bfloat16):
        packed = Packed(CELLS[cell] if cell != "gru" or reset_after else FD_GRU_RESET_FIRST,
                        kernel, recurrent_kernel, bias, bfloat16)
        packed.weights.activation = activation_of(activation)
        packed.weights.recurrent_activation = activation_of(recurrent_activation)
        return packed

    def share(self, Packed packed, cnp.ndarray input_mask, cnp.ndarray recurrent_mask):
        return packed.sharing(input_mask, recurrent_mask)

    def rows_together(self, Packed packed):
        return fd_rows_together(self.table, &packed.weights)

    def distinct(self, cnp.ndarray tokens, size_t vocabulary):
        cdef size_t rows = tokens.shape[0], n = tokens.shape[1], count
        cdef cnp.ndarray words = np.empty(rows * n, np.int64)
        cdef cnp.ndarray of = np.empty(rows * n, np.int64)
        cdef cnp.ndarray index = np.empty((rows, n), np.int64)
        cdef cnp.ndarray found = np.zeros(vocabulary, np.int64)
        cdef int64_t *word = <int64_t *>cnp.PyArray_DATA(words)
        cdef int64_t *row = <int64_t *>cnp.PyArray_DATA(of)
        cdef int64_t *at = <int64_t *>cnp.PyArray_DATA(index)
        cdef int64_t *seen = <int64_t *>cnp.PyArray_DATA(found)
        cdef const int64_t *given = <const int64_t *>cnp.PyArray_DATA(tokens)
        with nogil:
            count = fd_distinct(word, row, at, given, rows, n, seen)
        return words[:count], of[:count], index

    def project(self, cnp.ndarray out, Packed packed, cnp.ndarray table, cnp.ndarray index,
                cnp.ndarray factors, cnp.ndarray factor_rows, cnp.ndarray input_mask,
                cnp.ndarray mask_rows):
        cdef fd_masks masks = masks_of(input_mask)
        cdef fd_table_rows x
        x.rows, x.values = out.shape[0], cnp.PyArray_DATA(table)
        x.factors, x.index = address(factors), <const int64_t *>address(index)
        x.factor_rows = <const int64_t *>address(factor_rows)
        cdef void *to = cnp.PyArray_DATA(out)
        cdef const int64_t *row = <const int64_t *>address(mask_rows)
        cdef Scratch scratch = Scratch(fd_project_scratch(&packed.weights, &masks, &x))
        with nogil:
            fd_project(self.table, to, scratch.data, &x, &packed.weights, &masks, row)

    def rnn(self, call):
        cdef fd_rnn_call c
        cdef Packed packed = call.packed  # the pointers are those of arrays that `call` holds
        fill(&c, packed, call)
        cdef Scratch scratch = Scratch(fd_rnn_scratch(self.table, &c))
        with nogil:
            fd_rnn(self.table, &c, scratch.data)

    def plain_rnn(self, cnp.ndarray x, Packed packed, dict options, tuple defaults, key,
                  long long last_site, bint shares):
        cdef size_t rows = x.shape[0], steps = x.shape[1]
        cdef size_t features = packed.weights.features, units = packed.weights.units
        cdef Plain plain
        for name, default in defaults:
            if options[name] is not default:
                return None
        if not cnp.PyArray_ISCARRAY(x) or not is_plain(options, packed, rows, last_site, &plain):
            return None
        if (plain.input or plain.recurrent) and (shares or key is None):
            return None
        cdef fd_rnn_call c
        cdef int kind = cnp.PyArray_TYPE(x)
        cdef cnp.npy_intp[2] one_step = [x.shape[0], <cnp.npy_intp>units]
        cdef cnp.npy_intp[3] all_steps = [x.shape[0], x.shape[1], <cnp.npy_intp>units]
        cdef cnp.ndarray y_last = cnp.PyArray_ZEROS(2, one_step, kind, 0)
        cdef cnp.ndarray h = cnp.PyArray_ZEROS(2, one_step, kind, 0)
        cdef cnp.ndarray cell = None, y = None, input_mask = None, recurrent_mask = None
        if packed.weights.cell == FD_LSTM:
            cell = cnp.PyArray_ZEROS(2, one_step, kind, 0)
        if options["return_sequences"]:
            y = cnp.PyArray_SimpleNew(3, all_steps, kind)
        if plain.input:
            input_mask = self.drawn(x, plain, features, key, 0, plain.input)
        if plain.recurrent:
            recurrent_mask = self.drawn(x, plain, units, key, 1, plain.recurrent)
        memset(&c, 0, sizeof(c))
        c.weights, c.rows, c.steps, c.last = &packed.weights, rows, steps, steps
        c.backwards, c.x = options["go_backwards"], cnp.PyArray_DATA(x)
        c.y_last, c.h = cnp.PyArray_DATA(y_last), cnp.PyArray_DATA(h)
        c.c, c.y = <void *>address(cell), <void *>address(y)
        c.input_mask, c.recurrent_mask = masks_of(input_mask), masks_of(recurrent_mask)
        cdef Scratch scratch = Scratch(fd_rnn_scratch(self.table, &c))
        with nogil:
            fd_rnn(self.table, &c, scratch.data)
        out = y_last if y is None else y
        if not options["return_state"]:
            return out
        return (out, h) if cell is None else (out, h, cell)

    cdef cnp.ndarray drawn(self, cnp.ndarray x, Plain plain, size_t width, key, uint64_t site,
                           uint64_t threshold):
        """Masks (rows, gates, width) for rows of x, of its type, at a site of the layer."""
        cdef cnp.npy_intp[3] shape = [x.shape[0], <cnp.npy_intp>plain.gates, <cnp.npy_intp>width]
        cdef cnp.ndarray out = cnp.PyArray_SimpleNew(3, shape, cnp.PyArray_TYPE(x))
        cdef uint64_t number = <uint64_t>key.base + plain.number + (site << 32)
        cdef fd_stream s = fd_stream(key.k0, key.k1, number, threshold)
        if cnp.PyArray_SIZE(out):
            self.fill_masks(out, 1, scale_of(threshold, x), s,
                            plain.first_row * plain.gates * width)
        return out

    def team(self, call, size_t threads):
        cdef Team team = Team.__new__(Team)
        team.table, team.given = self.table, call
        fill(&team.call, call.packed, call)
        team.parts = fd_team_parts(&team.call, threads)
        if team.parts == 1:
            return None
        team.room = Scratch(fd_team_size(self.table, &team.call, team.parts))
        fd_begin_team(self.table, &team.call, team.parts, team.room.data)
        return team

    def hold(self, call):
        return Held(self, call)


@cython.final
cdef class Team:
    """A call of one row that several threads work on, each having a part of the units."""

    cdef const fd_kernels *table
    cdef fd_rnn_call call
    cdef Scratch room
    cdef object given  # what the pointers in `call` point to
    cdef readonly size_t parts

    def work(self, size_t part):
        cdef Scratch scratch = Scratch(fd_rnn_scratch(self.table, &self.call))
        with nogil:
            fd_work_in_team(self.table, &self.call, self.room.data, part, scratch.data)

    def end(self):
        fd_end_team(self.table, &self.call, self.room.data)


@cython.final
cdef class Held:
    """A call of one step whose masks are laid out once, with its state."""

    cdef fd_rnn_call call
    cdef Scratch room
    cdef object given  # what the pointers in `call` point to

    def __init__(self, Native native, given):
        fill(&self.call, given.packed, given)
        self.given = given
        self.room = Scratch(fd_held_size(native.table, &self.call))
        fd_hold(native.table, &self.call, self.room.data)

    def step(self, cnp.ndarray x, cnp.ndarray out, cnp.ndarray zoneout_h, cnp.ndarray zoneout_c):
        self.call.x, self.call.y_last = cnp.PyArray_DATA(x), cnp.PyArray_DATA(out)
        self.call.zoneout_h = <const uint8_t *>address(zoneout_h)
        self.call.zoneout_c = <const uint8_t *>address(zoneout_c)
        with nogil:
            fd_held_steps(&self.call, self.room.data)

    def state(self, cnp.ndarray h, cnp.ndarray c):
        fd_held_state(&self.call, self.room.data, cnp.PyArray_DATA(h), <void *>address(c))

    def set_state(self, cnp.ndarray h, cnp.ndarray c):
        fd_set_held_state(&self.call, self.room.data, cnp.PyArray_DATA(h), address(c))


cdef int fill(fd_rnn_call *c, Packed packed, call) except -1:
    """What a RnnCall says, in C."""
    cdef cnp.ndarray steps = call.index if call.x is None else call.x
    c.weights = &packed.weights
    c.rows, c.steps = steps.shape[0], steps.shape[1]
    c.first, c.last = call.first, call.last
    c.backwards, c.zero_masked_steps = call.backwards, call.zero_masked_steps
    c.y_last, c.h = <void *>address(call.y_last), <void *>address(call.h)
    c.c, c.y = <void *>address(call.c), <void *>address(call.y)
    c.x, c.projected = address(call.x), address(call.projected)
    c.index = <const int64_t *>address(call.index)
    c.input_mask = masks_of(call.input_mask)
    c.recurrent_mask = masks_of(call.recurrent_mask)
    c.candidate_mask = masks_of(call.candidate_mask)
    c.zoneout_h = <const uint8_t *>address(call.zoneout_h)
    c.zoneout_c = <const uint8_t *>address(call.zoneout_c)
    c.step_mask = <const uint8_t *>address(call.step_mask)
    return 0


cdef fd_masks masks_of(cnp.ndarray masks) noexcept:
    """Masks (rows or 1, gates or 1, width); all gates share what has no axis for them."""
    cdef fd_masks found = fd_masks(NULL, 0, 0)
    if masks is not None:
        found.factors, found.gates = cnp.PyArray_DATA(masks), 1
        if masks.ndim == 3:
            found.gates = masks.shape[1]
        if masks.shape[0] > 1:
            found.stride = cnp.PyArray_SIZE(masks) // masks.shape[0]
    return found


cdef fd_activation activation_of(activation) except *:
    """A name, or a tuple of it and its parameters."""
    cdef fd_activation found = fd_activation(FD_LINEAR, 0, 0, 0)
    if isinstance(activation, str):
        found.function = FUNCTIONS[activation]
        return found
    name, *parameters = activation
    found.function = FD_BENT_RELU if name == "relu" else FUNCTIONS[name]
    found.a, found.b, found.c = (*parameters, 0, 0)[:3]
    return found


cdef const void *address(cnp.ndarray array) noexcept:
    """Where an array's elements are; null for None."""
    return NULL if array is None else cnp.PyArray_DATA(array)


@cython.final
cdef class Scratch:
    """Memory for one call, aligned to cache lines."""

    cdef void *data
    cdef void *block

    def __cinit__(self, size_t size):
        self.block = PyMem_Malloc(size + FD_LINE)
        if self.block == NULL:
            raise MemoryError
        self.data = <void *>(<size_t>self.block + FD_LINE - <size_t>self.block % FD_LINE)

    def __dealloc__(self):
        PyMem_Free(self.block)


cdef cnp.ndarray aligned(size_t n, cnp.ndarray like):
    """A new array of a type's elements, aligned to cache lines."""
    cdef size_t width = cnp.PyArray_ITEMSIZE(like)
    cdef cnp.ndarray room = np.empty(n * width + FD_LINE, np.uint8)
    cdef size_t start = FD_LINE - <size_t>cnp.PyArray_DATA(room) % FD_LINE
    return room[start:start + n * width].view(like.dtype)


@cython.final
cdef class Packed:
    """A layer's weights in panels, perhaps with masks that all rows share."""

    cdef fd_weights weights
    cdef readonly int width
    cdef cnp.ndarray kernel, recurrent_kernel
    cdef list held  # what the pointers in `weights` point to

    def __init__(self, fd_cell cell, cnp.ndarray kernel, cnp.ndarray recurrent_kernel,
                 cnp.ndarray bias, bint bfloat16):
        memset(&self.weights, 0, sizeof(self.weights))
        self.weights.bfloat16 = bfloat16
        self.weights.cell, self.weights.element = cell, cnp.PyArray_ITEMSIZE(kernel)
        self.weights.features, self.weights.units = kernel.shape[0], recurrent_kernel.shape[0]
        self.kernel, self.recurrent_kernel, self.held = kernel, recurrent_kernel, []
        cdef size_t units = self.weights.units, gates, gate = 0, part
        cdef bint single = cnp.PyArray_ITEMSIZE(kernel) == 4
        self.width = fd_width_f32(cell, units) if single else fd_width_f64(cell, units)
        for part in range(2):
            gates = fd_part_gates(cell, part)
            if gates:
                self.weights.input[part].n = self.weights.features
                self.weights.recurrent[part].n = units
                self.panels(part, gate, gates, True, True)
            gate += gates
        cdef cnp.ndarray start = aligned(self.width, kernel)
        cdef cnp.ndarray recurrent = None
        if cell == FD_GRU:
            recurrent = aligned(self.width // 3, kernel)
        cdef void *at = cnp.PyArray_DATA(start)
        cdef void *other = <void *>address(recurrent)
        cdef const void *of = cnp.PyArray_DATA(bias)
        if single:
            fd_pack_bias_f32(<float *>at, <float *>other, <const float *>of, cell, units)
        else:
            fd_pack_bias_f64(<double *>at, <double *>other, <const double *>of, cell, units)
        self.weights.bias, self.weights.recurrent_bias = at, other
        self.held += [start, recurrent]

    cdef keep(self, fd_matrix *to, size_t n, size_t gate, size_t gates, cnp.ndarray mask):
        """Of a matrix, take only what a mask [gates or 1][n] keeps."""
        to.listed = 1
        if mask.shape[0] > 1:
            mask, to.listed = np.ascontiguousarray(mask[gate:gate + gates]), gates
        cdef cnp.ndarray index = np.empty((n, to.listed), np.uint32)
        cdef cnp.ndarray factors = np.empty((n, to.listed), mask.dtype)
        cdef uint32_t *at = <uint32_t *>cnp.PyArray_DATA(index)
        cdef void *by = cnp.PyArray_DATA(factors)
        cdef const void *of = cnp.PyArray_DATA(mask)
        if cnp.PyArray_ITEMSIZE(mask) == 4:
            to.n = fd_kept_f32(at, <float *>by, &to.full, <const float *>of, n, to.listed)
        else:
            to.n = fd_kept_f64(at, <double *>by, &to.full, <const double *>of, n, to.listed)
        to.index, to.factors = at, by
        self.held += [index, factors]

    cdef size_t elements(self, size_t n):
        """How many elements of a panel's column hold n weights."""
        return (n + 1) // 2 if self.weights.bfloat16 else n

    cdef panels(self, size_t part, size_t gate, size_t gates, bint input, bint recurrent):
        """Pack one matrix of a part, or both into one block of panels."""
        cdef fd_matrix *x = &self.weights.input[part]
        cdef fd_matrix *h = &self.weights.recurrent[part]
        cdef size_t of_x = self.elements(x.n) if input else 0
        cdef size_t n = of_x + (self.elements(h.n) if recurrent else 0)
        cdef size_t columns = self.weights.units * gates, place = 0
        cdef bint single = cnp.PyArray_ITEMSIZE(self.kernel) == 4
        cdef size_t panels = fd_panels_f32(columns) if single else fd_panels_f64(columns)
        # Not a multiple of 4,096 bytes: the same rows of several panels would fall into one set of
        # a cache, which one row of numbers, that takes eight panels at a time, would wait for.
        cdef size_t rows = n + (n % 64 == 0)
        cdef size_t stride = rows * (FD_PANEL_F32 if single else FD_PANEL_F64)
        cdef cnp.ndarray block = aligned(panels * stride, self.kernel)
        if input:
            self.pack(x, self.kernel, gate, gates, block, 0, stride)
            place = of_x * FD_LINE
        if recurrent:
            self.pack(h, self.recurrent_kernel, gate, gates, block, place, stride)
        self.held.append(block)

    cdef pack(self, fd_matrix *to, cnp.ndarray w, size_t gate, size_t gates, cnp.ndarray block,
              size_t place, size_t panel_stride):
        """Pack a matrix so many bytes into each panel."""
        cdef size_t n = to.n, stride = w.shape[1], units = self.weights.units
        cdef size_t width = cnp.PyArray_ITEMSIZE(w), some, unit = 0
        cdef size_t together = FD_LINE // width // gates  # units of a panel
        cdef size_t most = together * (PACKED_AT_ONCE // (n * FD_LINE + 1) + 1)
        cdef const char *of = <const char *>cnp.PyArray_DATA(w) + gate * units * width
        cdef char *into = <char *>cnp.PyArray_DATA(block) + place
        to.panels, to.panel_stride = into, panel_stride
        while unit < units:
            PyErr_CheckSignals()
            some = min(units - unit, most)
            with nogil:
                if self.weights.bfloat16:
                    fd_pack_bf16(<float *>into, panel_stride, <const float *>of, stride, n, some,
                                 units, gates, to.index, <const float *>to.factors, to.listed)
                elif width == 4:
                    fd_pack_f32(<float *>into, panel_stride, <const float *>of, stride, n, some,
                                units, gates, to.index, <const float *>to.factors, to.listed)
                else:
                    fd_pack_f64(<double *>into, panel_stride, <const double *>of, stride, n, some,
                                units, gates, to.index, <const double *>to.factors, to.listed)
            unit += some
            of += some * width
            into += some // together * panel_stride * width

    cdef Packed sharing(self, cnp.ndarray input_mask, cnp.ndarray recurrent_mask):
        """The same with masks (gates or 1, width), without what they drop."""
        cdef Packed new = Packed.__new__(Packed)
        new.weights, new.width, new.kernel = self.weights, self.width, self.kernel
        new.recurrent_kernel, new.held = self.recurrent_kernel, [self]
        cdef size_t gate = 0, gates, part
        cdef bint input, recurrent
        for part in range(2):
            gates = fd_part_gates(self.weights.cell, part)
            input = gates and input_mask is not None
            recurrent = gates and recurrent_mask is not None
            if input:
                new.keep(&new.weights.input[part], self.weights.features, gate, gates, input_mask)
            if recurrent and part == 1 and self.weights.cell == FD_GRU_RESET_FIRST:
                # The reset gate multiplies unit by unit: nothing is left out.
                factors = np.zeros(self.width // 3, recurrent_mask.dtype)
                mask = recurrent_mask[gate % recurrent_mask.shape[0]]
                factors[:mask.shape[0]] = mask
                new.held.append(factors)
                new.weights.recurrent[1].factors = cnp.PyArray_DATA(factors)
                new.weights.recurrent[1].listed = 1
                recurrent = False
            elif recurrent:
                new.keep(&new.weights.recurrent[part], self.weights.units, gate, gates,
                         recurrent_mask)
            if input or recurrent:
                new.panels(part, gate, gates, input, recurrent)
            gate += gates
        return new


def keep_apart(unsigned long thread):
    """Let a thread, which must not have ended, begin on another CPU than this one is on."""
    fd_keep_apart(thread)


def this_cpu():
    """What this machine says of itself, as `tiers` takes it."""
    cdef fd_cpu cpu = fd_this_cpu()
    return cpu.leaf1_ecx, cpu.leaf7_ebx, cpu.leaf7_1_eax, cpu.xcr0, cpu.hwcap2


cdef void leaf_of(void *context, uint32_t *out, uint32_t leaf, uint32_t subleaf) noexcept with gil:
    leaves, _ = <tuple>context
    out[0], out[1], out[2], out[3] = leaves[leaf, subleaf]


cdef uint64_t xcr0_of(void *context) noexcept with gil:
    _, xcr0 = <tuple>context
    return xcr0


def cpu_of(dict leaves, uint64_t xcr0):
    """The same of an x86-64 whose CPUID has these leaves and subleaves (EAX, EBX, ECX, EDX)."""
    given = leaves, xcr0
    cdef fd_machine machine = fd_machine(leaf_of, xcr0_of, <void *>given)
    cdef fd_cpu cpu = fd_cpu_of(&machine)
    return cpu.leaf1_ecx, cpu.leaf7_ebx, cpu.leaf7_1_eax, cpu.xcr0, cpu.hwcap2


def tiers(uint32_t leaf1_ecx, uint32_t leaf7_ebx, uint32_t leaf7_1_eax, uint64_t xcr0,
          uint64_t hwcap2):
    """Every tier that was built, strongest first: its `Native`, and whether such a CPU runs it.

    Of several with one name each has more instructions than the next.
    """
    cdef fd_cpu cpu = fd_cpu(leaf1_ecx, leaf7_ebx, leaf7_1_eax, xcr0, hwcap2)
    cdef const char *instruction
    cdef size_t i = 0
    cdef Native native
    found = []
    while fd_tier(i) != NULL:
        native = Native.__new__(Native)
        native.table = fd_tier(i)
        native.name = "native"
        native.tier = fd_tier_name(fd_tier(i)).decode()
        instruction = fd_tier_bfloat16(fd_tier(i))
        native.bfloat16 = "float32" if instruction == NULL else instruction.decode()
        found.append((native, fd_tier_usable_on(fd_tier(i), &cpu) != 0))
        i += 1
    return found
