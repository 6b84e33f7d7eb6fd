"""Running untrusted programs: `with Sandbox() as box: box.run(programs)`.

The boundary is the kernel, never the language. A freshly started interpreter with an empty environment loads what
programs may use, locks itself down for good, and forks a child for each batch of plain programs or each lone program.

Covered, at level `strict`, also against native code inside a child:
- reading and writing files, the network, other processes and signals, new executable memory (seccomp, Landlock);
- the caller's memory, environment, descriptors and secrets (a new process that never had them);
- endless loops, memory, forks, floods of output, crashes (timers, limits, a supervisor with a deadline);
- forged results for others: a child leaves bounded bytes in pages of its own, and nothing it leaves is executed,
  unpickled or evaluated;
- neighbours in a shared child: only programs whose compiled code cannot reach shared state are put together;
- what ran before: a program that runs alone finds no other program and no other result in its memory.

Not covered:
- a program lies about its own value or time: it could as well have returned that value;
- a program uses its CPU share until its limit, and sees the source of the programs in its own batch: use lane `solo`
  for programs of different users;
- bugs of the kernel behind the two dozen system calls that a child keeps, and side channels of the hardware: for
  public serving add a pod policy or a virtual machine around it;
- anything outside Linux: there only limits hold, and the level is `unsafe`.
"""

from pad_ray.sandbox.client import Sandbox
from pad_ray.sandbox.execution import Execution

__all__ = ["Execution", "Sandbox"]
