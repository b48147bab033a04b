"""What is measured, in the order of the table."""

from bench.systems.base import Place, System
from bench.systems.bonghwa import Bonghwa
from bench.systems.channels import Channels
from bench.systems.nats import Nats
from bench.systems.nchan import Nchan
from bench.systems.node import Node

OTHERS: tuple[System, ...] = (Channels(), Node(), Nchan(), Nchan(join=True), Nats())

__all__ = ["OTHERS", "Bonghwa", "Place", "System"]
