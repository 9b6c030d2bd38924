"""What torch and torchvision have and convcore has not: why, and what to use instead.

The one list of these names. Errors quote it (`convcore/absent.py`), and the tests compare torch's public names with it:
each is here or there, and an entry that is not needed fails.
"""

from __future__ import annotations

from typing import NamedTuple


class Absent(NamedTuple):
    """Names of one kind.

    Attributes:
        reason: why they are not here, the end of a sentence that begins with the name.
        instead: what to use, or nothing; {name} stands for the last part of the name, {plain} for that without _.
        names: patterns of names, without "torch.", * for any letters. A name stands for all below it.
    """

    reason: str
    instead: str
    names: str


ELSEWHERE = (
    Absent("in-place functions are methods", "x.{name}(..)", """
        abs_ acos_ acosh_ addmv_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ as_strided_ asin_ asinh_
        atan_ atanh_ ceil_ clamp_ clamp_max_ clamp_min_ clip_ conj_physical_ cos_ cosh_ deg2rad_ detach_ erf_
        erfc_ exp2_ exp_ expm1_ fill_ fix_ floor_ frac_ gcd_ i0_ index_put_ lcm_ ldexp_ log10_ log1p_ log2_ log_
        logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ round_ rsqrt_ sigmoid_ sin_ sinc_ sinh_ sqrt_
        square_ tan_ tanh_ trunc_ xlogy_
    """),
    Absent("it is a method", "x.{name}(..)", "put"),
    Absent("it is a function of layers", "convcore.nn.functional.{name}", """
        adaptive_max_pool1d alpha_dropout batch_norm binary_cross_entropy_with_logits celu_
        cosine_embedding_loss ctc_loss dropout embedding embedding_bag feature_alpha_dropout
        hinge_embedding_loss instance_norm kl_div margin_ranking_loss poisson_nll_loss relu_ rrelu_ selu_
        threshold_ triplet_margin_loss
    """),
    Absent("it is a function of layers", "convcore.nn.functional.{plain}(.., inplace=True)",
           "alpha_dropout_ dropout_ feature_alpha_dropout_"),
    Absent("torch renamed it", "convcore.nn.functional.dropout2d", "feature_dropout feature_dropout_"),
    Absent("it is a layer", "convcore.nn.{name}", "ModuleDict ParameterDict"),
    Absent("torch renamed it", "convcore.arange", "range"),
    Absent("tensors are made of arrays and lists", "convcore.as_tensor or convcore.from_numpy",
           "asarray frombuffer from_file"),
    Absent("tensors speak DLPack through NumPy", "convcore.from_numpy(numpy.from_dlpack(x)), numpy.from_dlpack(x)",
           "from_dlpack to_dlpack utils.dlpack"),
    Absent("torch renamed it", "convcore.nn.init.{name}_", """
        nn.init.constant nn.init.dirac nn.init.eye nn.init.kaiming_normal nn.init.kaiming_uniform nn.init.normal
        nn.init.orthogonal nn.init.sparse nn.init.uniform nn.init.xavier_normal nn.init.xavier_uniform
    """),
    Absent("torch renamed it", "convcore.nn.utils.clip_grad_norm_", "nn.utils.clip_grad_norm"),
    Absent("torch renamed it", "convcore.nn.NLLLoss", "nn.NLLLoss2d"),
    Absent("torch renamed it", "convcore.nn.LocalResponseNorm", "nn.CrossMapLRN2d"),
    Absent("torch renamed it", "convcore.nn.Module", "nn.Container"),
    Absent("pooling that returns places is one function", "return_indices=True of the function without _with_indices",
           "max_pool1d_with_indices nn.functional.*max_pool*_with_indices"),
    Absent("torch renamed it", "register_full_backward_hook", "nn.Module.register_backward_hook"),
    Absent("models are compiled from outside", "convcore.compile(model)", "nn.Module.compile"),
    Absent("layers stand in convcore.nn itself", "convcore.nn.Conv2d and the like", "nn.modules"),
    Absent("checks of gradients are tests", "convcore.testing.{name}", "autograd.gradcheck autograd.gradgradcheck"),
    Absent("one seed is for all devices", "convcore.{name}", """
        cuda.get_rng_state cuda.set_rng_state cuda.manual_seed cuda.seed cuda.initial_seed
    """),
    Absent("one seed is for all devices", "convcore.manual_seed", """
        cuda.manual_seed_all cuda.seed_all cuda.get_rng_state_all cuda.set_rng_state_all cuda.default_generators
        cuda.random
    """),
    Absent("it is one for all devices", "convcore.amp", "cuda.amp"),
    Absent("it belongs to errors", "convcore.errors.{name}", "OutOfMemoryError"),
    Absent("functions stand in convcore itself", "convcore.einsum and the like", "functional"),
    Absent("images are read by convcore.data", "convcore.data.ImageFolder, mnist, cifar10, ..", "torchvision.datasets"),
)  # fmt: skip
"""What convcore has under another name."""

LACKING = (
    Absent("Fourier transforms are not part of convolutional networks", "numpy.fft on x.numpy()",
           "fft stft istft Tensor.stft Tensor.istft"),
    Absent("signal processing is not part of convolutional networks", "scipy.signal.windows",
           "signal bartlett_window blackman_window hamming_window hann_window kaiser_window"),
    Absent("what networks need of it stands in convcore itself", "convcore.erf, digamma, xlogy, log_softmax, ..",
           "special"),
    Absent("solvers and decompositions are not part of convolutional networks", "numpy.linalg on x.numpy()", """
        linalg cholesky cholesky_inverse cholesky_solve det eig geqrf inverse lobpcg logdet lstsq lu lu_solve
        lu_unpack matrix_exp matrix_power matrix_rank orgqr ormqr pca_lowrank pinverse qr slogdet solve svd
        svd_lowrank symeig triangular_solve nuclear_norm frobenius_norm chain_matmul vander Tensor.cholesky
        Tensor.cholesky_inverse Tensor.cholesky_solve Tensor.det Tensor.eig Tensor.geqrf Tensor.inverse
        Tensor.logdet Tensor.lstsq Tensor.lu Tensor.lu_solve Tensor.matrix_exp Tensor.matrix_power Tensor.orgqr
        Tensor.ormqr Tensor.pinverse Tensor.qr Tensor.slogdet Tensor.solve Tensor.svd Tensor.symeig
        Tensor.triangular_solve
    """),
    Absent("there are no complex numbers", "two real tensors", """
        complex complex32 complex64 complex128 cfloat cdouble chalf polar view_as_complex view_as_complex_copy
        view_as_real view_as_real_copy is_conj is_neg Tensor.cfloat Tensor.cdouble Tensor.chalf Tensor.is_conj
        Tensor.is_neg
    """),
    Absent("tensors are dense", "convcore.nn.graph for products with a SciPy matrix", """
        sparse sparse_* dsmm hsmm hspmm saddmm smm spmm sspaddmm ccol_indices_copy col_indices_copy
        crow_indices_copy indices_copy row_indices_copy values_copy resize_as_sparse_ jagged strided layout
        nested optim.SparseAdam cuda.sparse Tensor.ccol_indices Tensor.coalesce Tensor.col_indices
        Tensor.crow_indices Tensor.dense_dim Tensor.indices Tensor.is_coalesced Tensor.is_nested
        Tensor.is_sparse Tensor.is_sparse_csr Tensor.layout Tensor.resize_as_sparse_ Tensor.row_indices
        Tensor.smm Tensor.sparse_* Tensor.sspaddmm Tensor.to_dense Tensor.to_padded_tensor Tensor.to_sparse*
        Tensor.values
    """),
    Absent("there are no distributions with densities", "convcore.randn, rand, multinomial, .., or scipy.stats",
           "distributions binomial poisson"),
    Absent("there are no quantized numbers", "", """
        ao quantization qint* quint* q_* qscheme quantize* quantized_* choose_qparams_optimized dequantize
        empty_quantized fake_quantize_* fbgemm_* fused_moving_avg_obs_fake_quant int_repr per_channel_*
        per_tensor_* *QInt*Storage *QUInt*Storage Tensor.q_* Tensor.qscheme Tensor.dequantize Tensor.int_repr
        Tensor.is_quantized nn.intrinsic nn.qat nn.quantizable nn.quantized
    """),
    Absent("there is no such element type", "one of convcore.float32, float64, int8, int16, int32, int64, uint8, bool",
           "bit bits* float4_* float8_* int1 int2 int3 int4 int5 int6 int7 uint1 uint16 uint2 uint3 uint32 uint4 uint5 "
           "uint6 uint64 uint7"),
    Absent("products of 8-bit floats are not here", "", """
        nn.functional.grouped_mm nn.functional.scaled_grouped_mm nn.functional.scaled_mm
        nn.functional.ScalingType nn.functional.SwizzleType
    """),
    Absent("recurrent layers are not here", "convcore.nn.Conv1d or Transformer for sequences", """
        nn.GRU nn.GRUCell nn.LSTM nn.LSTMCell nn.RNN nn.RNNBase nn.RNNCell nn.RNNCellBase nn.utils.rnn gru
        gru_cell lstm lstm_cell rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell
    """),
    Absent("layers are built with their sizes", "the layer without Lazy", """
        nn.Lazy* nn.UninitializedBuffer nn.UninitializedParameter
    """),
    Absent("it is for very many classes", "convcore.nn.CrossEntropyLoss",
           "nn.AdaptiveLogSoftmaxWithLoss nn.LinearCrossEntropyLoss nn.LinearCrossEntropyOptions"),
    Absent("buffers are registered", "module.register_buffer", "nn.Buffer BufferDict"),
    Absent("this optimizer is not here", "convcore.optim.Adam, SGD or another one there",
           "optim.ASGD optim.Adafactor optim.LBFGS optim.Muon"),
    Absent("averaged weights are not here", "", "optim.swa_utils optim.swap_in_optimizer_params_and_state"),
    Absent("one process trains", "", """
        distributed is_distributed futures nn.DataParallel nn.SyncBatchNorm nn.parallel Tensor.is_distributed
        utils.data.DistributedSampler utils.data.distributed nn.Module.share_memory cuda.nccl Future RRefType
        fork wait
    """),
    Absent("workers are threads", "num_workers of convcore.data.DataLoader", """
        multiprocessing Tensor.is_shared Tensor.share_memory_ cuda.ipc_collect
    """),
    Absent("data pipes are deprecated in torch", "convcore.data.IterableDataset", """
        utils.data.*DataPipe utils.data.datapipes utils.data.DataChunk utils.data.argument_validation
        utils.data.functional_datapipe utils.data.graph utils.data.graph_settings
        utils.data.guaranteed_datapipes_determinism utils.data.non_deterministic utils.data.runtime_validation*
    """),
    Absent("models are compiled by noting their kernels", "convcore.compile", """
        jit fx export compiler package Script* LiteScriptModule ConcreteModuleType* CompilationUnit Graph
        GraphExecutorState JITException FileCheck TracingState import_ir_module* parse_ir parse_schema
        merge_type_from_type_comment parse_type_comment cond while_loop nn.functional.boolean_dispatch
        nn.functional.BroadcastingList*
    """),
    Absent("functions of functions are not here", "convcore.autograd.grad",
           "func vmap autograd.functional autograd.forward_ad nn.utils.stateless"),
    Absent("gradients of single operations are private", "convcore.autograd.grad", "nn.grad nn.functional.grad"),
    Absent("times are measured from outside", "python -m benchmarks, or model.steps() of a compiled one", """
        profiler autograd.profiler* autograd.kineto_available autograd.Profiler* cuda.profiler cuda.nvtx monitor
        ThroughputBenchmark BenchmarkConfig BenchmarkExecutionStats utils.ThroughputBenchmark
        utils.throughput_benchmark
    """),
    Absent("weights come from torchvision's files", "convcore.models.get_model, and `convcore weights`", "hub"),
    Absent("nothing is recomputed in backward", "", "utils.checkpoint"),
    Absent("results are always the same, bit for bit", "", """
        use_deterministic_algorithms are_deterministic_algorithms_enabled get_deterministic_debug_mode
        set_deterministic_debug_mode is_deterministic_algorithms_warn_only_enabled utils.deterministic
        thread_safe_generator
    """),
    Absent("NaN gradients are looked for by hand", "convcore.isnan in a hook, or convcore.testing.gradcheck", """
        autograd.anomaly_mode autograd.detect_anomaly autograd.set_detect_anomaly set_anomaly_enabled
        is_anomaly_enabled is_anomaly_check_nan_enabled
    """),
    Absent("the default element type is float32", "dtype= of the functions that make tensors, or model.double()",
           "set_default_dtype set_default_tensor_type get_float32_matmul_precision set_float32_matmul_precision"),
    Absent("tensors are made on the CPU unless asked", "device= of the functions that make tensors, or model.to(..)",
           "set_default_device get_default_device get_device get_device_module Tensor.get_device"),
    Absent("tensors are printed by NumPy", "numpy.set_printoptions", "set_printoptions"),
    Absent("kernels flush denormal numbers", "", "set_flush_denormal"),
    Absent("there is one pool of threads", "convcore.set_num_threads",
           "get_num_interop_threads set_num_interop_threads init_num_threads"),
    Absent("warnings are Python's", "warnings.filterwarnings", "set_warn_always is_warn_always_enabled"),
    Absent("autocast is a context", "convcore.autocast", """
        *autocast_* amp.autocast_mode amp.custom_bwd amp.custom_fwd amp.is_autocast_available
        is_autocast_enabled set_autocast_enabled clear_autocast_cache get_autocast_dtype set_autocast_dtype
    """),
    Absent("modes are asked otherwise", "convcore.is_grad_enabled", """
        is_inference is_inference_mode_enabled Tensor.is_inference autograd.is_multithreading_enabled
        autograd.is_view_replay_enabled autograd.set_multithreading_enabled autograd.enforce_grad_layout_policy
    """),
    Absent("a tensor is a NumPy array", "x.numpy() and its attributes", """
        storage *Storage cuda.*Storage StorageBase is_storage is_same_size is_signed memory_format
        Tensor.data_ptr Tensor.const_data_ptr Tensor.dim_order Tensor.is_same_size Tensor.is_set_to Tensor.set_
        Tensor.storage Tensor.storage_offset Tensor.storage_type Tensor.untyped_storage
    """),
    Absent("torch deprecated it", "x.to(dtype), x.dtype, convcore.zeros(.., dtype=..)", """
        *Tensor cuda.*Tensor typename Tensor.new Tensor.type Tensor.volatile Tensor.resize Tensor.resize_as
        Tensor.as_subclass Tensor.apply_ Tensor.map_ Tensor.map2_ Tensor.reinforce Tensor.index
    """),
    Absent("there are the CPU and one GPU", 'device="cpu" or device="cuda"', """
        accelerator AcceleratorError cpu mps mtia xpu backends DeviceObjType Stream StreamObjType Event
        compiled_with_cxx11_abi has_lapack has_mkl has_openmp has_spectral is_vulkan_available Tensor.ipu
        Tensor.is_ipu Tensor.is_maia Tensor.is_meta Tensor.is_mkldnn Tensor.is_mps Tensor.is_mtia
        Tensor.is_vulkan Tensor.is_xla Tensor.is_xpu Tensor.mtia Tensor.xpu Tensor.to_mkldnn
        Tensor.record_stream Tensor.pin_memory Tensor.is_pinned
    """),
    Absent("the GPU is used by one stream, without settings", "convcore.cuda.synchronize and the rest of convcore.cuda",
           """
        cuda.AcceleratorError cuda.CUDAGraph cuda.CUDAPluggableAllocator cuda.CudaError cuda.DEVICE_REQUIREMENT
        cuda.DeferredCudaCallError cuda.Event cuda.ExternalStream cuda.GreenContext cuda.MemPool
        cuda.PYTORCH_RELEASES_CODE_CC cuda.Stream cuda.StreamContext cuda.caching_allocator_alloc
        cuda.caching_allocator_delete cuda.caching_allocator_disabled cuda.caching_allocator_enable
        cuda.can_device_access_peer cuda.change_current_allocator cuda.check_error cuda.classproperty
        cuda.clock_rate cuda.cudaStatus cuda.cudart cuda.current_blas_handle cuda.current_device
        cuda.current_solver_handle cuda.current_stream cuda.default_stream cuda.device cuda.device_memory_used
        cuda.device_of cuda.gds cuda.get_allocator_backend cuda.get_arch_list cuda.get_device_capability
        cuda.get_device_properties cuda.get_gencode_flags cuda.get_per_process_memory_fraction
        cuda.get_stream_from_external cuda.get_sync_debug_mode cuda.graph cuda.graph_pool_handle cuda.graphs
        cuda.green_contexts cuda.has_half cuda.has_magma cuda.host_memory_stats
        cuda.host_memory_stats_as_nested_dict cuda.init cuda.is_bf16_supported cuda.is_current_stream_capturing
        cuda.is_initialized cuda.is_tf32_supported cuda.jiterator cuda.list_gpu_processes
        cuda.make_graphed_callables cuda.max_memory_cached cuda.max_memory_reserved cuda.mem_get_info
        cuda.memory_cached cuda.memory_reserved cuda.memory_snapshot cuda.memory_stats
        cuda.memory_stats_as_nested_dict cuda.memory_usage cuda.power_draw
        cuda.reset_accumulated_host_memory_stats cuda.reset_accumulated_memory_stats
        cuda.reset_max_memory_allocated cuda.reset_max_memory_cached cuda.reset_peak_host_memory_stats
        cuda.reset_peak_memory_stats cuda.set_device cuda.set_per_process_memory_fraction cuda.set_stream
        cuda.set_sync_debug_mode cuda.stream cuda.streams cuda.temperature cuda.tunable cuda.use_mem_pool
        cuda.utilization
    """),
    Absent("this network is not here", "one of convcore.models.list_models()", """
        torchvision.models.convnext_large torchvision.models.densenet161 torchvision.models.densenet169
        torchvision.models.densenet201 torchvision.models.detection torchvision.models.efficientnet_v2_l
        torchvision.models.efficientnet_v2_m torchvision.models.get_model_builder
        torchvision.models.get_model_weights torchvision.models.get_weight torchvision.models.inception_v3
        torchvision.models.maxvit_t torchvision.models.mnasnet* torchvision.models.optical_flow
        torchvision.models.quantization torchvision.models.regnet* torchvision.models.resnext101_*
        torchvision.models.segmentation torchvision.models.shufflenet_v2_* torchvision.models.swin_*
        torchvision.models.video torchvision.models.vit_h_14 torchvision.models.vit_l_16
        torchvision.models.vit_l_32 torchvision.models.wide_resnet101_2
    """),
    Absent("this transform is not here", "one of convcore.transforms, or a function in Compose", """
        torchvision.transforms.AugMix torchvision.transforms.ConvertImageDtype
        torchvision.transforms.ElasticTransform torchvision.transforms.FiveCrop torchvision.transforms.Lambda
        torchvision.transforms.LinearTransformation torchvision.transforms.PILToTensor
        torchvision.transforms.RandomAdjustSharpness torchvision.transforms.RandomApply
        torchvision.transforms.RandomAutocontrast torchvision.transforms.RandomChoice
        torchvision.transforms.RandomEqualize torchvision.transforms.RandomInvert
        torchvision.transforms.RandomOrder torchvision.transforms.RandomPerspective
        torchvision.transforms.RandomPosterize torchvision.transforms.RandomSolarize
        torchvision.transforms.TenCrop torchvision.transforms.ToPILImage torchvision.transforms.transforms
        torchvision.transforms.v2
    """),
    Absent("a model is moved and converted by one method", "model.to(..)", """
        nn.Module.bfloat16 nn.Module.ipu nn.Module.mtia nn.Module.to_empty nn.Module.type nn.Module.xpu
    """),
    Absent("it is not here", "", """
        nn.Module.get_extra_state nn.Module.set_extra_state nn.Module.register_load_state_dict_post_hook
        nn.Module.register_load_state_dict_pre_hook nn.Module.register_state_dict_post_hook
        nn.Module.register_state_dict_pre_hook Tensor.fill_diagonal_ Tensor.name Tensor.output_nr
        Tensor.retains_grad Tensor.hash_tensor Tensor.module_load Tensor.grad_dtype Tensor.slice_inverse
        Tensor.unsafe_split_with_sizes Tensor.register_post_accumulate_grad_hook hash_tensor segment_reduce
        slice_inverse unsafe_split_with_sizes masked nn.utils.convert_conv2d_weight_memory_format
        nn.utils.convert_conv3d_weight_memory_format nn.utils.memory_format nn.utils.init nn.utils.skip_init
    """),
)  # fmt: skip
"""What convcore does not do."""

INTERNAL = (
    Absent("it is internal to torch", "", """
        AggregationType AVG SUM *Type AliasDb Argument ArgumentSpec Block CallStack Capsule Code
        CompleteArgumentSpec DeepCopyMemoTable SerializationStorageContext DeserializationStorageContext
        DisableTorchFunction* DispatchKey* ErrorReport ExcludeDispatchKeyGuard ExecutionPlan FatalError
        FunctionSchema Gradient IODescriptor LockingLogger LoggerBase NoopLogger Node OperatorInfo
        PyTorchFileReader PyTorchFileWriter StaticModule Tag Type Use Value PRIVATE_OPS USE_GLOBAL_DEPS
        USE_RTLD_GLOBAL_WITH_LIBTORCH classes classproperty cpp get_file_path library overrides
        prepare_multiprocessing_environment profiler_allow_cudagraph_cupti_lazy_reinit_cuda12 quasirandom
        return_types serialization torch_version types unify_type_list version windows Sym* sym_*
        affine_grid_generator batch_norm_* conv_tbc convolution cudnn_* embedding_renorm_ grid_sampler*
        legacy_contiguous_format miopen_* mkldnn_* native_* testing autograd.DeviceType
        autograd.NestedIOFunction autograd.SavedTensor autograd.graph autograd.is_tensor_like
        autograd.*has_torch_function* autograd.handle_torch_function nn.common_types nn.factory_kwargs
        nn.functional.*torch_function* nn.functional.GRID_SAMPLE_* nn.functional.assert_int_or_pair
        nn.functional.conv_tbc nn.functional.native_* nn.functional.reproducibility_notes
        nn.functional.sparse_support_notes nn.functional.tf32_notes optim.lr_scheduler.EPOCH_DEPRECATION_WARNING
        optim.lr_scheduler.Optimizer nn.Module.T_destination nn.Module.call_super_init nn.Module.dump_patches
        optim.lr_scheduler.Tensor optim.lr_scheduler.inf utils.backcompat utils.backend_registration
        utils.cmake_prefix_path utils.collect_env utils.cpp_backtrace
        utils.generate_methods_for_privateuse1_backend utils.get_cpp_backtrace utils.hooks
        utils.rename_privateuse1_backend utils.set_module utils.swap_tensors utils.weak
    """),
)  # fmt: skip
"""What users of torch are not meant to call, though it is in sight."""
