import daybreak
from bench.runtime.own import Own
from daybreak import _core

program = Own(daybreak)
program.contention = _core.runtime._contention
teardown = program.stop
