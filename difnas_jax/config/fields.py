"""Configuration: every field of the config, with its default.

A config file has `get_config(arg)` which starts from `default()` and changes what its
experiment needs. Durations are given as `epochs` or as `steps`, never both; learning
rates hold at `reference_batch` and scale linearly with `batch_size`.
"""

from ml_collections import ConfigDict

from difnas_jax.config.method_fields import method_fields
from difnas_jax.config.stages import BY_DEFAULT


def default() -> ConfigDict:
    """Every field there is; the method is DI-NAS.

    What ranks best for its cost on a benchmark is in `configs/frozen_effect.py`.
    """
    config = ConfigDict()
    # Every random stream of the run derives from this number.
    config.seed = 0
    # Which stages run, in this order; any subset of `STAGES`, which has one more, after
    # `retrain`: `export`.
    config.stages = BY_DEFAULT
    # Where compiled programs are kept for the next run: `auto` (the user's cache
    # folder), a folder, or empty for nowhere. Changes no result.
    config.compilation_cache = "auto"
    # Devices, on all hosts together, without which the run does not start; 0 takes what
    # is there. Changes no result.
    config.devices = 0

    config.space = ConfigDict()
    # A key of `spaces.SPACES`.
    config.space.name = "mbv2"
    # Side of the square input in pixels; data of another size are resized.
    config.space.image_size = 224
    # 1 grey, 3 colour; grey data are repeated to 3 channels.
    config.space.image_channels = 3
    # Of the data, with labels from 0; outputs of the classifier.
    config.space.num_classes = 1000

    config.data = ConfigDict()
    # `digits` (shipped), `arrays` (an .npz file), `folder` (image files in class
    # folders) or `tfds` (TensorFlow Datasets, prepared as array_record).
    config.data.source = "arrays"
    # File of the `arrays` source; root of the `folder` source, above the splits; where
    # TFDS keeps its data sets, empty: $TFDS_DATA_DIR or ~/tensorflow_datasets.
    config.data.path = ""
    # Data set of the `tfds` source: NAME[/CONFIG][:VERSION], by default the newest.
    config.data.name = ""
    # Splits of the `folder` and `tfds` sources; one without a name: part of train. If
    # the folders of the classes are in no folder of a split, leave all names empty.
    config.data.train_split = "train"
    config.data.validation_split = ""
    config.data.test_split = "test"
    # Share of every class of the training split held out where a source has no
    # validation split; 0: all of it trains, and retraining ends with the test alone.
    config.data.validation_fraction = 0.1
    # Share of every class of the training split that is the test where a source has no
    # test split, the same images for every seed.
    config.data.test_fraction = 0.1
    # An image that cannot be decoded: `error`, or `skip`: the next one takes its place,
    # with a count in the metrics; in an evaluation it does not count.
    config.data.corrupt = "error"
    # Processes that read, decode and augment (through Grain); 0: a thread of this one.
    # Changes no result. Not for images that `arrays` and `digits` fit at the start.
    # They need room in /dev/shm, and a script of your own a main guard.
    config.data.workers = 0
    # `crop`: whole images, squeezed to squares, then `crop_padding`; `imagenet`: train
    # on a random part, evaluate the central square of 224/256 of the short side.
    config.data.augmentation = "crop"
    # `imagenet`: smallest share of the area, and largest width by height of the part;
    # 1 is the square of BN-NAS, 4/3 the rectangle of torchvision.
    config.data.crop_scale = 0.08
    config.data.crop_aspect = 1.0
    # Training: zero-pad by so many pixels and crop back at random; 0 is off.
    config.data.crop_padding = 0
    # Training: flip left and right with probability 1/2.
    config.data.flip = False
    # Training: standard deviation of the shift along the principal components of the
    # colours of ImageNet, 0.1 in the literature; 0 is off.
    config.data.lighting = 0.0
    # Per-channel statistics on the 0-1 scale; empty: those of the training split, of
    # images on the disk those of 1,000 of them, evenly spaced.
    config.data.mean = ()
    config.data.std = ()

    config.method = method_fields()

    config.supernet = training_fields()
    config.supernet.epochs = 120.0
    config.supernet.optimizer = "adam"
    config.supernet.learning_rate = 0.03
    config.supernet.clip_value = 5.0
    # Rate of the gammas of the logits as a share of that of batch norms. They tell ops
    # apart by small differences, and what a rate adds to these in noise falls with it.
    config.supernet.logit_rate = 1.0
    # What several devices share among them: `batch`, of which each has its part in
    # every path, or `paths`, of which each has its own and the whole batch. On two CPU
    # devices `batch` takes 0.88 of the time of `paths` (benchmarks/speed).
    config.supernet.placement = "batch"
    # How many of the paths of an update run side by side, a divisor of their number.
    # 1 scans over the paths, with a switch between the ops of each layer. All of them,
    # if they are strictly fair, need no switch, but hold the activations of so many
    # paths (see also `rematerialize`); which is faster on a GPU is not settled
    # (docs/speed.md).
    config.supernet.paths_at_once = 1
    # Sampling `reinforce`: updates between two steps of the policy, and the rate of the
    # Adam that takes them.
    config.supernet.reward_every = 10
    config.supernet.policy_learning_rate = 0.04
    # Updates between two measurements of the disturbance: loss and accuracy of the
    # paths of an update right after it, against those after `disturbance_after` further
    # paths have trained. 0 measures nothing; no weight depends on it.
    config.supernet.disturbance_every = 0
    config.supernet.disturbance_after = 12

    config.search = ConfigDict()
    # Another search of the supernet in the workdir, under another budget for example: a
    # name puts all but the supernet into WORKDIR/searches/NAME. Changes no result.
    config.search.name = ""
    # The workdir of another run, whose supernet is searched in place of an own one.
    config.search.supernet = ""
    # What finds the network: `evolution`, `random`, `nsga2` (the trade-off between
    # `objectives`), `exact` (the proven optimum of a sum over layers), `pruning` (of a
    # supernet scored without training), `regularized_evolution`, `reinforce`, `gumbel`.
    config.search.algorithm = "evolution"
    # Run beside it for comparison; `exact` only where the score allows it.
    config.search.references = ("random", "exact")
    # `evolution`: generations, and candidates of each. `random` and `nsga2` take both,
    # too; `exact` lists the `population` best networks.
    config.search.generations = 20
    config.search.population = 50
    # The best so many of all candidates evaluated so far become parents.
    config.search.parents = 10
    # Children of a generation by mutation, which draws the op of each layer again with
    # this probability (of `nsga2`, too), and by crossover.
    config.search.mutations = 25
    config.search.mutation_probability = 0.1
    config.search.crossovers = 25
    # `regularized_evolution`: children, each of the best of a `tournament` of members.
    # `reinforce`, `gumbel`: samples, which are single paths, of a policy that Adam
    # trains at this rate.
    config.search.steps = 500
    config.search.tournament = 12
    config.search.policy_learning_rate = 0.04
    # NSGA-II: columns of the candidates that it trades against each other. Costs
    # (`macs`, `params`, `latency_ms`) are minimised, others in their better direction.
    config.search.objectives = ("score", "macs", "params")
    # Evolution: evaluate the children of the highest score predicted by a linear model
    # of the scores so far; False: any that fit the budget, as in SPOS and BN-NAS.
    config.search.screening = False
    # How many of the evaluated networks are kept, the best first; any two of them
    # differ in at least `distance` layers.
    config.search.keep = 1
    config.search.distance = 1
    # Score `accuracy`: training batches from which each path gets its batch-norm
    # statistics, and the size of these and of the validation batches.
    config.search.recalibration_batches = 50
    config.search.recalibration_batch_size = 128
    # A table of `difnas-jax latency`, the file: how long networks take on the
    # device that was measured, a cost more. Empty: latency is not known.
    config.search.latency = ""
    # Bounds on the costs of the found network, `min_` and `max_` before the name of the
    # cost: multiply-adds, parameters, and milliseconds of latency; 0 is no bound.
    config.search.min_macs = 0
    config.search.max_macs = 0
    config.search.min_params = 0
    config.search.max_params = 0
    config.search.min_latency_ms = 0.0
    config.search.max_latency_ms = 0.0

    config.retrain = training_fields()
    config.retrain.epochs = 240.0
    config.retrain.batch_size = 1024
    config.retrain.reference_batch = 1024
    config.retrain.learning_rate = 0.5
    config.retrain.weight_decay = 4e-5
    config.retrain.clip_norm = 5.0
    # Rate before the classifier.
    config.retrain.dropout = 0.2
    # Weights at the start: `new`, or those of the network in the `supernet`, which
    # helps a short training where all of its weights were trained.
    config.retrain.weights = "new"
    # The workdir of a run whose retrained network teaches this one: its probabilities
    # make up this share of each target, and the label the rest. Empty: labels alone.
    config.retrain.teacher = ""
    config.retrain.teacher_share = 0.5
    # New kernels, as `method.kernels`.
    config.retrain.kernels = "he_fan_out"
    # Depthwise kernels of the orthogonal family, as `method.depthwise`.
    config.retrain.depthwise = "qr"
    # Steps between two evaluations on the validation split; 0 is only at the end.
    config.retrain.evaluate_every = 5000
    # Op names or indices separated by commas; empty: what the search found.
    config.retrain.architecture = ""
    # How many of the `search.keep` networks are trained, one after another; that of the
    # best validation accuracy is the result.
    config.retrain.networks = 1

    config.export = ConfigDict()
    # What stage `export` writes of the found network, in place of all that is in
    # WORKDIR/export: `stablehlo`, `safetensors` (with a PyTorch module), `onnx`.
    config.export.formats = ("stablehlo", "safetensors")
    # Fold batch norms into the convolutions before them.
    config.export.fold = False
    return config.lock()


def training_fields() -> ConfigDict:
    """The fields that supernet and retraining share."""
    config = ConfigDict()
    # Duration in passes of the training split through a path, or in updates;
    # exactly one of the two is positive.
    config.epochs = 0.0
    config.steps = 0
    # Images of a batch, on all devices together.
    config.batch_size = 512
    # `sgd` or `adam`, with `momentum` (of Adam, beta 1).
    config.optimizer = "sgd"
    config.momentum = 0.9
    # Peak learning rate at `reference_batch` images, scaled linearly.
    config.learning_rate = 0.25
    config.reference_batch = 512
    # Rate of kernels, that of the classifier included, as a share of that of batch
    # norms and biases.
    config.kernel_rate = 1.0
    # `cosine` or `linear` to zero, after a linear rise over `warmup_steps`.
    config.schedule = "cosine"
    config.warmup_steps = 0
    # Applies to kernels only, never to batch norms and biases.
    config.weight_decay = 0.0
    # Share of the target that is spread evenly over all classes.
    config.label_smoothing = 0.1
    # Clip each gradient entry, or the global norm; 0 is off.
    config.clip_value = 0.0
    config.clip_norm = 0.0
    # Stop at a loss above so many times the median of the 100 before it; 0 is off.
    config.spike_factor = 5.0
    # Type of the computation, `float32` or `bfloat16`; parameters and the statistics
    # of batch norms are float32 in both.
    config.dtype = "float32"
    # Compute activations again in the backward pass: less memory, more time.
    config.rematerialize = False
    # Updates between two lines of metrics, and between two checkpoints.
    config.log_every = 100
    config.checkpoint_every = 1000
    # How many checkpoints are kept, the newest ones.
    config.keep_checkpoints = 2
    return config
