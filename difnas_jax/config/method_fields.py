"""Configuration: every field of a method, with its default."""

from ml_collections import ConfigDict


def method_fields() -> ConfigDict:
    """The section `method`: a method is a combination of these fields."""
    method = ConfigDict()
    # `orthogonal`, `he_fan_out`, `looks_linear` (inverted residuals of aligned pairs,
    # without batch norm exactly linear) or `shared_response` (orthogonal, and all
    # inverted residuals of a layer, and an identity that changes the shape, answer a
    # constant input alike).
    method.kernels = "orthogonal"
    # Depthwise kernels of the orthogonal family: `qr` (the paper: each filter an
    # orthogonal matrix) or `shift` (one tap, the isometry that tells sizes apart).
    method.depthwise = "qr"
    # Scale with which the last batch norm of an inverted residual beside a skip
    # connection starts; at 0 such a block starts as the connection alone.
    method.block_scale = 1.0
    # Activation of the supernet alone, a key of `models.modules.ACTIVATIONS`; empty:
    # that of the space, which the found network always has.
    method.activation = ""
    # Whether the supernet divides the logits of each path by their standard deviation
    # and scales them by the mean of one gamma for each op on it, which trains where
    # scales of batch norms do, at `supernet.logit_rate` of their rate.
    method.logit_gammas = False
    # What trains: `all_bn` (scale and bias of every batch norm), `indicator` (of the
    # last one of each candidate, the release of BN-NAS), `spatial` (all, and kernels of
    # more than one pixel), `kernels` (those alone: every batch norm keeps scale 1 and
    # bias 0), `all`. Other kernels stay frozen as they were drawn; `kernels` and `all`
    # start from there.
    method.trainable = "all_bn"
    # Whether the classifier trains where not everything does.
    method.train_classifier = False
    # The paths of an update: `strict_fair` (each op of a layer once), `uniform` (one),
    # `reinforce` (one, of a policy that learns by accuracies on the validation split).
    method.sampling = "strict_fair"
    # The paths of one update see the `same` batch, or `split` it among them.
    method.batch_sharing = "same"
    # What becomes of an update before it is applied, a key of `projection.UPDATES`:
    # `plain`; `orthogonal_inputs` or `orthogonal_gradients` to what earlier paths gave
    # the same weights, so that these paths are not disturbed. A setting of ConfigDict
    # has this name, too: write and read it as `config.method["update"]`.
    method["update"] = "plain"
    # Strength of a projection: a direction that alone came in n updates keeps
    # alpha / (alpha + n) of an update. It is multiplied by `alpha_decay` in the course
    # of the training, evenly on a logarithmic scale, and must stay at 0.001 at least,
    # for float32; `forgetting` is the share of what is stored for an op that each
    # further update with a path through the op keeps.
    method.alpha = 1.0
    method.alpha_decay = 1.0
    method.forgetting = 1.0
    # Shares of the training between which projections store and project; before is the
    # warm-up.
    method.project_from = 0.0
    method.project_until = 1.0
    # `orthogonal_gradients`: principal directions of earlier gradients kept of each op.
    method.directions = 8
    # An identity with batch norm in every normal layer: `parallel` (beside the block),
    # `shortcut` (on its skip connection), `candidate` (one more op) or `off`; `plain`:
    # an identity without batch norm is one more op.
    method.layer_indicator = "parallel"
    # What a layer scores that is dropped although its identity was always on, as under
    # `parallel` and `shortcut`: `zero`, the identity's indicator as `measured`, or
    # `position_corrected`, without what its position in the stage explains.
    method.dropped_layer = "zero"
    # What the indicator stage reads off the supernet for each op: `gamma`, the learned
    # scale of its last batch norm; `logit_gamma`, the one of `logit_gammas`; by how
    # much it lowers the loss of the paths through it, in the second half of the
    # training (`main_effect`) or after it, on so many further batches
    # (`measured_effect`), each of which passes two fair sets of paths.
    method.indicator = "gamma"
    method.measured_batches = 500
    # What the training of the supernet remembers: `path_losses` of all updates, which
    # `main_effect` reads, or `nothing`.
    method.memory = "nothing"
    # A sum over layers of the indicator of each op: `ratio` (to the layer's identity,
    # or to the mean of its ops), `argmax` (how many layers keep their best op) or `sum`
    # (as it is); or `accuracy`: of the path on the validation split, after
    # recalibration; or `training_free`, of `proxies` by a `combiner`.
    method.score = "ratio"
    # Score `training_free`: columns of `scoring/proxies`, and what makes one score of
    # them by ranks among the candidates, `rank_sum` or `sum_log_rank`.
    method.proxies = ("ntk_condition", "linear_regions", "regression_error")
    method.combiner = "rank_sum"
    # Training-free scores: drawings of initial values and images of which they are the
    # mean, and the initial kernels; empty: those that the authors of a score used.
    method.proxy_repeats = 1
    method.proxy_kernels = ""
    return method
