from libc.stddef cimport ptrdiff_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "fastdrop.h" nogil:
    ctypedef struct fd_kernels:
        pass

    const fd_kernels *fd_tier(size_t i)
    const char *fd_tier_name(const fd_kernels *tier)

    ctypedef struct fd_cpu:
        uint32_t leaf1_ecx, leaf7_ebx
        uint64_t xcr0

    fd_cpu fd_this_cpu()
    int fd_tier_usable_on(const fd_kernels *tier, const fd_cpu *cpu)

    ctypedef struct fd_stream:
        uint32_t k0, k1
        uint64_t stream
        uint64_t threshold

    void fd_philox(uint32_t *out, const uint32_t *counter, uint32_t k0, uint32_t k1)
    void fd_bernoulli_packed(const fd_kernels *tier, uint8_t *out, const fd_stream *s,
                             uint64_t first, size_t n)
    void fd_bernoulli_u8(const fd_kernels *tier, uint8_t *out, const fd_stream *s,
                         uint64_t first, size_t n)
    void fd_bernoulli_f32(const fd_kernels *tier, float *out, const fd_stream *s,
                          uint64_t first, size_t n)
    void fd_bernoulli_f64(const fd_kernels *tier, double *out, const fd_stream *s,
                          uint64_t first, size_t n)
    void fd_dropout_f16(const fd_kernels *tier, uint16_t *out, const uint16_t *x, float scale,
                        const fd_stream *s, uint64_t first, size_t n)
    void fd_dropout_bf16(const fd_kernels *tier, uint16_t *out, const uint16_t *x, float scale,
                         const fd_stream *s, uint64_t first, size_t n)
    void fd_dropout_f32(const fd_kernels *tier, float *out, const float *x, float scale,
                        const fd_stream *s, uint64_t first, size_t n)
    void fd_dropout_f64(const fd_kernels *tier, double *out, const double *x, double scale,
                        const fd_stream *s, uint64_t first, size_t n)

    enum: FD_MAX_AXES

    ctypedef struct fd_layout:
        size_t axes
        const uint64_t *lengths
        const uint64_t *strides

    void fd_apply_mask_f16(const fd_kernels *tier, uint16_t *out, const uint16_t *x,
                           const uint8_t *mask, float scale, const fd_layout *layout,
                           uint64_t first, size_t n)
    void fd_apply_mask_bf16(const fd_kernels *tier, uint16_t *out, const uint16_t *x,
                            const uint8_t *mask, float scale, const fd_layout *layout,
                            uint64_t first, size_t n)
    void fd_apply_mask_f32(const fd_kernels *tier, float *out, const float *x,
                           const uint8_t *mask, float scale, const fd_layout *layout,
                           uint64_t first, size_t n)
    void fd_apply_mask_f64(const fd_kernels *tier, double *out, const double *x,
                           const uint8_t *mask, double scale, const fd_layout *layout,
                           uint64_t first, size_t n)
    void fd_alpha_dropout_f32(const fd_kernels *tier, float *out, const float *x, float scale,
                              float shift, float fill, const fd_stream *s, uint64_t first,
                              size_t n)
    void fd_alpha_dropout_f64(const fd_kernels *tier, double *out, const double *x,
                              double scale, double shift, double fill, const fd_stream *s,
                              uint64_t first, size_t n)
    void fd_apply_alpha_f32(const fd_kernels *tier, float *out, const float *x,
                            const uint8_t *mask, float scale, float shift, float fill,
                            const fd_layout *layout, uint64_t first, size_t n)
    void fd_apply_alpha_f64(const fd_kernels *tier, double *out, const double *x,
                            const uint8_t *mask, double scale, double shift, double fill,
                            const fd_layout *layout, uint64_t first, size_t n)
    void fd_zoneout_u16(const fd_kernels *tier, uint16_t *out, const uint16_t *previous,
                        const uint16_t *fresh, const fd_stream *s, uint64_t first, size_t n)
    void fd_zoneout_u32(const fd_kernels *tier, uint32_t *out, const uint32_t *previous,
                        const uint32_t *fresh, const fd_stream *s, uint64_t first, size_t n)
    void fd_zoneout_u64(const fd_kernels *tier, uint64_t *out, const uint64_t *previous,
                        const uint64_t *fresh, const fd_stream *s, uint64_t first, size_t n)
    void fd_gaussian_noise_f32(const fd_kernels *tier, float *out, const float *x,
                               double stddev, const fd_stream *s, uint64_t first, size_t n)
    void fd_gaussian_noise_f64(const fd_kernels *tier, double *out, const double *x,
                               double stddev, const fd_stream *s, uint64_t first, size_t n)
    void fd_gaussian_dropout_f32(const fd_kernels *tier, float *out, const float *x,
                                 double stddev, const fd_stream *s, uint64_t first, size_t n)
    void fd_gaussian_dropout_f64(const fd_kernels *tier, double *out, const double *x,
                                 double stddev, const fd_stream *s, uint64_t first, size_t n)

    ctypedef enum fd_activation:
        FD_LINEAR
        FD_TANH
        FD_SIGMOID
        FD_RELU
        FD_HARD_SIGMOID
        FD_HARD_SIGMOID_LEGACY

    void fd_activate_f32(const fd_kernels *tier, float *v, size_t n, fd_activation activation)
    void fd_activate_f64(const fd_kernels *tier, double *v, size_t n, fd_activation activation)
    void fd_dense_f32(const fd_kernels *tier, float *out, const float *x, const float *kernel,
                      const float *bias, size_t rows, size_t inputs, size_t columns)
    void fd_dense_f64(const fd_kernels *tier, double *out, const double *x,
                      const double *kernel, const double *bias, size_t rows, size_t inputs,
                      size_t columns)

    ctypedef struct fd_lstm_shape:
        size_t rows, steps, features, units
        size_t first, last
        ptrdiff_t input_mask_stride, recurrent_mask_stride
        int input_masks, recurrent_masks
        fd_activation activation, recurrent_activation
        int backwards, zero_masked_steps

    size_t fd_lstm_scratch(const fd_lstm_shape *shape)
    void fd_lstm_f32(const fd_kernels *tier, float *y_last, float *h, float *c, float *y,
                     float *scratch, const float *x, const float *kernel,
                     const float *recurrent_kernel, const float *bias, const float *input_mask,
                     const float *recurrent_mask, const uint8_t *step_mask,
                     const fd_lstm_shape *shape)
    void fd_lstm_f64(const fd_kernels *tier, double *y_last, double *h, double *c, double *y,
                     double *scratch, const double *x, const double *kernel,
                     const double *recurrent_kernel, const double *bias,
                     const double *input_mask, const double *recurrent_mask,
                     const uint8_t *step_mask, const fd_lstm_shape *shape)
