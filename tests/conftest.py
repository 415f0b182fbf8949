"""Four CPU devices for every test, and no silent broadcasting."""

import os

os.environ['XLA_FLAGS'] = (
    os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=4'
)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jax  # noqa: E402  (the flags above must be set first)

jax.config.update('jax_numpy_rank_promotion', 'raise')
