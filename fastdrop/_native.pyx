# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: freethreading_compatible=True
"""Pointers out, GIL released, C called. Arguments arrive checked; nothing is decided here."""

cimport numpy as cnp
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastdrop._csrc cimport *

cnp.import_array()

ctypedef fused real:
    float
    double

cdef dict ACTIVATIONS = {
    "linear": FD_LINEAR,
    "tanh": FD_TANH,
    "sigmoid": FD_SIGMOID,
    "relu": FD_RELU,
    "hard_sigmoid": FD_HARD_SIGMOID,
    "hard_sigmoid_legacy": FD_HARD_SIGMOID_LEGACY,
}


cdef class Native:
    """The C kernels of one instruction-set tier."""

    cdef const fd_kernels *table
    cdef readonly str name, tier

    def philox(self, counter, uint32_t k0, uint32_t k1):
        cdef uint32_t[4] words = counter
        fd_philox(words, words, k0, k1)
        return words[0], words[1], words[2], words[3]

    # Masks: arrays instead of typed memoryviews, which take longer than a small mask. Types are
    # told by their width, since NumPy may have several numbers for one; 16 bits that are not
    # NumPy's are bfloat16.

    def bernoulli_packed(self, cnp.ndarray out, size_t n, uint32_t k0, uint32_t k1,
                         uint64_t stream, uint64_t first, uint64_t threshold):
        cdef fd_stream s = fd_stream(k0, k1, stream, threshold)
        cdef uint8_t *to = <uint8_t *>cnp.PyArray_DATA(out)
        with nogil:
            fd_bernoulli_packed(self.table, to, &s, first, n)

    def bernoulli(self, cnp.ndarray out, uint32_t k0, uint32_t k1, uint64_t stream,
                  uint64_t first, uint64_t threshold):
        cdef fd_stream s = fd_stream(k0, k1, stream, threshold)
        cdef size_t n = cnp.PyArray_SIZE(out), width = cnp.PyArray_ITEMSIZE(out)
        cdef void *to = cnp.PyArray_DATA(out)
        with nogil:
            if width == 4:
                fd_bernoulli_f32(self.table, <float *>to, &s, first, n)
            elif width == 8:
                fd_bernoulli_f64(self.table, <double *>to, &s, first, n)
            else:
                fd_bernoulli_u8(self.table, <uint8_t *>to, &s, first, n)

    def dropout(self, cnp.ndarray out, cnp.ndarray x, double scale, uint32_t k0, uint32_t k1,
                uint64_t stream, uint64_t first, uint64_t threshold):
        cdef fd_stream s = fd_stream(k0, k1, stream, threshold)
        cdef size_t n = cnp.PyArray_SIZE(x)
        cdef size_t width = cnp.PyArray_ITEMSIZE(x)
        cdef void *to = cnp.PyArray_DATA(out)
        cdef const void *of = cnp.PyArray_DATA(x)
        cdef bint half = cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT16
        with nogil:
            if width == 4:
                fd_dropout_f32(self.table, <float *>to, <const float *>of, <float>scale, &s,
                               first, n)
            elif width == 8:
                fd_dropout_f64(self.table, <double *>to, <const double *>of, scale, &s, first, n)
            elif half:
                fd_dropout_f16(self.table, <uint16_t *>to, <const uint16_t *>of, <float>scale,
                               &s, first, n)
            else:
                fd_dropout_bf16(self.table, <uint16_t *>to, <const uint16_t *>of, <float>scale,
                                &s, first, n)

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
                      double fill, uint32_t k0, uint32_t k1, uint64_t stream, uint64_t first,
                      uint64_t threshold):
        cdef fd_stream s = fd_stream(k0, k1, stream, threshold)
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

    def zoneout(self, cnp.ndarray out, cnp.ndarray previous, cnp.ndarray new, uint32_t k0,
                uint32_t k1, uint64_t stream, uint64_t first, uint64_t threshold):
        cdef fd_stream s = fd_stream(k0, k1, stream, threshold)
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

    def gaussian_noise(self, cnp.ndarray out, cnp.ndarray x, double stddev, uint32_t k0,
                       uint32_t k1, uint64_t stream, uint64_t first):
        cdef fd_stream s = fd_stream(k0, k1, stream, 0)
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

    def gaussian_dropout(self, cnp.ndarray out, cnp.ndarray x, double stddev, uint32_t k0,
                         uint32_t k1, uint64_t stream, uint64_t first):
        cdef fd_stream s = fd_stream(k0, k1, stream, 0)
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

    def activate(self, real[::1] v, str activation):
        cdef fd_activation act = ACTIVATIONS[activation]
        with nogil:
            if real is float:
                fd_activate_f32(self.table, &v[0], v.shape[0], act)
            else:
                fd_activate_f64(self.table, &v[0], v.shape[0], act)

    def dense(self, real[:, ::1] out, const real[:, ::1] x, const real[:, ::1] kernel,
              const real[::1] bias):
        cdef size_t rows = x.shape[0], inputs = x.shape[1], columns = kernel.shape[1]
        cdef const real *bias_ptr = NULL
        if bias is not None:
            bias_ptr = &bias[0]
        with nogil:
            if real is float:
                fd_dense_f32(self.table, &out[0, 0], &x[0, 0], &kernel[0, 0], bias_ptr, rows,
                             inputs, columns)
            else:
                fd_dense_f64(self.table, &out[0, 0], &x[0, 0], &kernel[0, 0], bias_ptr, rows,
                             inputs, columns)

    def lstm(self, real[:, ::1] y_last, real[:, ::1] h, real[:, ::1] c, real[:, :, ::1] y,
             const real[:, :, ::1] x, const real[:, ::1] kernel,
             const real[:, ::1] recurrent_kernel, const real[::1] bias,
             const real[:, :, ::1] input_mask, const real[:, :, ::1] recurrent_mask,
             const uint8_t[:, ::1] step_mask, size_t first, size_t last, str activation,
             str recurrent_activation, bint backwards, bint zero_masked_steps):
        cdef fd_lstm_shape shape
        cdef real *scratch
        cdef real *y_ptr = NULL
        cdef const real *bias_ptr = NULL
        cdef const real *mx = NULL
        cdef const real *mh = NULL
        cdef const uint8_t *steps_ptr = NULL
        shape.rows, shape.steps, shape.features = x.shape[0], x.shape[1], x.shape[2]
        shape.units = h.shape[1]
        shape.first, shape.last = first, last
        shape.input_mask_stride = shape.recurrent_mask_stride = 0
        shape.input_masks = shape.recurrent_masks = 1
        shape.activation = ACTIVATIONS[activation]
        shape.recurrent_activation = ACTIVATIONS[recurrent_activation]
        shape.backwards, shape.zero_masked_steps = backwards, zero_masked_steps
        if y is not None:
            y_ptr = &y[0, 0, 0]
        if bias is not None:
            bias_ptr = &bias[0]
        if input_mask is not None:
            mx = &input_mask[0, 0, 0]
            shape.input_masks = <int>input_mask.shape[1]
            if input_mask.shape[0] > 1:
                shape.input_mask_stride = input_mask.shape[1] * input_mask.shape[2]
        if recurrent_mask is not None:
            mh = &recurrent_mask[0, 0, 0]
            shape.recurrent_masks = <int>recurrent_mask.shape[1]
            if recurrent_mask.shape[0] > 1:
                shape.recurrent_mask_stride = recurrent_mask.shape[1] * recurrent_mask.shape[2]
        if step_mask is not None:
            steps_ptr = &step_mask[0, 0]
        scratch = <real *>PyMem_Malloc(fd_lstm_scratch(&shape) * sizeof(real))
        if scratch == NULL:
            raise MemoryError
        with nogil:
            if real is float:
                fd_lstm_f32(self.table, &y_last[0, 0], &h[0, 0], &c[0, 0], y_ptr, scratch,
                            &x[0, 0, 0], &kernel[0, 0], &recurrent_kernel[0, 0], bias_ptr, mx, mh,
                            steps_ptr, &shape)
            else:
                fd_lstm_f64(self.table, &y_last[0, 0], &h[0, 0], &c[0, 0], y_ptr, scratch,
                            &x[0, 0, 0], &kernel[0, 0], &recurrent_kernel[0, 0], bias_ptr, mx, mh,
                            steps_ptr, &shape)
        PyMem_Free(scratch)


def this_cpu():
    """What this machine says of itself, as `tiers` takes it."""
    cdef fd_cpu cpu = fd_this_cpu()
    return cpu.leaf1_ecx, cpu.leaf7_ebx, cpu.xcr0


def tiers(uint32_t leaf1_ecx, uint32_t leaf7_ebx, uint64_t xcr0):
    """Every tier that was built, strongest first: its `Native`, and whether such a CPU runs it."""
    cdef fd_cpu cpu = fd_cpu(leaf1_ecx, leaf7_ebx, xcr0)
    cdef size_t i = 0
    cdef Native native
    found = []
    while fd_tier(i) != NULL:
        native = Native.__new__(Native)
        native.table = fd_tier(i)
        native.name = "native"
        native.tier = fd_tier_name(fd_tier(i)).decode()
        found.append((native, fd_tier_usable_on(fd_tier(i), &cpu) != 0))
        i += 1
    return found
