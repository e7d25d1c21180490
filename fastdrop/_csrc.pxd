from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "fastdrop.h" nogil:
    ctypedef struct fd_kernels:
        pass

    const fd_kernels *fd_tier(size_t i)
    const char *fd_tier_name(const fd_kernels *tier)

    ctypedef struct fd_cpu:
        uint32_t leaf1_ecx, leaf7_ebx, leaf7_1_eax
        uint64_t xcr0, hwcap2

    fd_cpu fd_this_cpu()

    ctypedef struct fd_machine:
        void (*cpuid)(void *context, uint32_t *out, uint32_t leaf,
                      uint32_t subleaf) noexcept nogil
        uint64_t (*xgetbv)(void *context) noexcept nogil
        void *context

    fd_cpu fd_cpu_of(const fd_machine *machine)
    int fd_tier_usable_on(const fd_kernels *tier, const fd_cpu *cpu)
    const char *fd_tier_bfloat16(const fd_kernels *tier)
    bint fd_tier_adds_in_turn(const fd_kernels *tier)

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

    ctypedef enum fd_function:
        FD_LINEAR
        FD_TANH
        FD_SIGMOID
        FD_RELU
        FD_HARD_SIGMOID
        FD_HARD_SIGMOID_LEGACY
        FD_BENT_RELU
        FD_RELU6
        FD_LEAKY_RELU
        FD_ELU
        FD_SELU
        FD_CELU
        FD_GELU
        FD_GELU_TANH
        FD_SILU
        FD_MISH
        FD_SOFTPLUS
        FD_LOG_SIGMOID
        FD_SOFTSIGN
        FD_EXPONENTIAL
        FD_HARD_SILU
        FD_HARD_TANH
        FD_TANH_SHRINK
        FD_SOFT_SHRINK
        FD_HARD_SHRINK
        FD_THRESHOLD
        FD_SPARSE_PLUS
        FD_SPARSE_SIGMOID
        FD_SQUAREPLUS
        FD_SOFTMAX
        FD_LOG_SOFTMAX

    ctypedef struct fd_activation:
        fd_function function
        double a, b, c

    void fd_activate_f32(const fd_kernels *tier, float *v, size_t n, fd_activation activation)
    void fd_activate_f64(const fd_kernels *tier, double *v, size_t n, fd_activation activation)
    void fd_softmax_f32(const fd_kernels *tier, float *v, size_t rows, size_t columns,
                        int logarithm)
    void fd_softmax_f64(const fd_kernels *tier, double *v, size_t rows, size_t columns,
                        int logarithm)
    void fd_moments_f32(double *sum, double *squares, const float *origin, const float *values,
                        size_t samples, size_t width)
    void fd_moments_f64(double *sum, double *squares, const double *origin, const double *values,
                        size_t samples, size_t width)
    int FD_MAX_PARTS, FD_LINE, FD_PANEL_F32, FD_PANEL_F64

    size_t fd_panels_f32(size_t columns)
    size_t fd_panels_f64(size_t columns)
    void fd_pack_f32(float *panels, size_t panel_stride, const float *w, size_t stride, size_t n,
                     size_t units, size_t gate_stride, size_t width, const uint32_t *index,
                     const float *factors, size_t listed)
    void fd_pack_f64(double *panels, size_t panel_stride, const double *w, size_t stride, size_t n,
                     size_t units, size_t gate_stride, size_t width, const uint32_t *index,
                     const double *factors, size_t listed)
    void fd_pack_bf16(float *panels, size_t panel_stride, const float *w, size_t stride, size_t n,
                      size_t units, size_t gate_stride, size_t width, const uint32_t *index,
                      const float *factors, size_t listed)
    size_t fd_kept_f32(uint32_t *index, float *factors, size_t *shortest, const float *mask,
                       size_t n, size_t listed)
    size_t fd_kept_f64(uint32_t *index, double *factors, size_t *shortest, const double *mask,
                       size_t n, size_t listed)
    size_t fd_dense_scratch(size_t rows, size_t inputs, size_t columns, size_t element)
    void fd_dense_f32(const fd_kernels *tier, float *out, void *scratch, const float *x,
                      const float *kernel, const float *bias, size_t rows, size_t inputs,
                      size_t columns, size_t stride)
    void fd_dense_f64(const fd_kernels *tier, double *out, void *scratch, const double *x,
                      const double *kernel, const double *bias, size_t rows, size_t inputs,
                      size_t columns, size_t stride)

    void fd_matmul_f32(const fd_kernels *tier, float *out, void *scratch, const float *a,
                       const float *b, size_t n, size_t rows, size_t inputs, size_t columns)
    void fd_matmul_f64(const fd_kernels *tier, double *out, void *scratch, const double *a,
                       const double *b, size_t n, size_t rows, size_t inputs, size_t columns)

    ctypedef enum fd_cell:
        FD_LSTM
        FD_GRU
        FD_GRU_RESET_FIRST
        FD_SIMPLE_RNN

    ctypedef struct fd_matrix:
        size_t n
        const void *panels
        size_t panel_stride
        const uint32_t *index
        const void *factors
        size_t listed
        size_t full

    ctypedef struct fd_weights:
        fd_cell cell
        size_t element
        int bfloat16
        size_t features, units
        fd_activation activation, recurrent_activation
        const void *bias
        const void *recurrent_bias
        fd_matrix[2] input
        fd_matrix[2] recurrent

    size_t fd_part_gates(fd_cell cell, size_t part)
    size_t fd_width_f32(fd_cell cell, size_t units)
    size_t fd_width_f64(fd_cell cell, size_t units)
    void fd_pack_bias_f32(float *start, float *recurrent, const float *bias, fd_cell cell,
                          size_t units)
    void fd_pack_bias_f64(double *start, double *recurrent, const double *bias, fd_cell cell,
                          size_t units)

    ctypedef struct fd_masks:
        const void *factors
        size_t gates, stride

    ctypedef struct fd_table_rows:
        size_t rows
        const void *values
        const void *factors
        const int64_t *index
        const int64_t *factor_rows

    size_t fd_rows_together(const fd_kernels *tier, const fd_weights *weights)
    size_t fd_project_scratch(const fd_weights *weights, const fd_masks *masks,
                              const fd_table_rows *x)
    void fd_project(const fd_kernels *tier, void *out, void *scratch, const fd_table_rows *x,
                    const fd_weights *weights, const fd_masks *masks, const int64_t *mask_rows)

    size_t fd_distinct(int64_t *words, int64_t *of, int64_t *index, const int64_t *tokens,
                       size_t rows, size_t n, int64_t *found)

    ctypedef struct fd_rnn_call:
        const fd_weights *weights
        size_t rows, steps, first, last
        int backwards, zero_masked_steps
        void *y_last
        void *h
        void *c
        void *y
        const void *x
        const void *projected
        const int64_t *index
        fd_masks input_mask, recurrent_mask, candidate_mask
        const uint8_t *zoneout_h
        const uint8_t *zoneout_c
        const uint8_t *step_mask

    size_t fd_rnn_scratch(const fd_kernels *tier, const fd_rnn_call *call)
    void fd_rnn(const fd_kernels *tier, const fd_rnn_call *call, void *scratch)

    size_t fd_team_parts(const fd_rnn_call *call, size_t threads)
    size_t fd_team_size(const fd_kernels *tier, const fd_rnn_call *call, size_t parts)
    void fd_begin_team(const fd_kernels *tier, const fd_rnn_call *call, size_t parts, void *team)
    void fd_work_in_team(const fd_kernels *tier, const fd_rnn_call *call, void *team, size_t part,
                         void *scratch)
    void fd_end_team(const fd_kernels *tier, const fd_rnn_call *call, void *team)

    size_t fd_held_size(const fd_kernels *tier, const fd_rnn_call *call)
    void fd_hold(const fd_kernels *tier, const fd_rnn_call *call, void *held)
    void fd_held_steps(const fd_rnn_call *call, void *held)
    void fd_held_state(const fd_rnn_call *call, const void *held, void *h, void *c)
    void fd_set_held_state(const fd_rnn_call *call, void *held, const void *h, const void *c)


cdef extern from "affinity.h" nogil:
    void fd_keep_apart(unsigned long thread)
