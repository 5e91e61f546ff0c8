"""Actions that take their time."""

def slow_lines(name, actions, seconds):
    """Makes `actions` genrules that each sleep for `seconds`, and one, `name`, that collects their lines.

    Args:
      name: the target that collects.
      actions: how many genrules sleep.
      seconds: how long each of them does.
    """
    for number in range(actions):
        native.genrule(
            name = "%s_%d" % (name, number),
            outs = ["%s_%d.txt" % (name, number)],
            cmd = "sleep %d; echo line %d > $@" % (seconds, number),
            tags = ["slow"],
        )
    native.genrule(
        name = name,
        srcs = [":%s_%d" % (name, number) for number in range(actions)],
        outs = [name + ".txt"],
        cmd = "cat $(SRCS) > $@",
        tags = ["slow"],
    )
