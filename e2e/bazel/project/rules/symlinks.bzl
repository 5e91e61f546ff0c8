"""Rules whose outputs are, or hold, symlinks."""

def _alias_file_impl(ctx):
    link = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.symlink(output = link, target_file = ctx.file.target_file)
    return [DefaultInfo(files = depset([link]))]

# Bazel makes the symlink; nothing runs.
alias_file = rule(
    implementation = _alias_file_impl,
    attrs = {"target_file": attr.label(allow_single_file = True, mandatory = True)},
)

def _linked_file_impl(ctx):
    real = ctx.actions.declare_file(ctx.label.name + "-2.1.txt")
    link = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.run_shell(
        outputs = [real, link],
        command = "echo 2.1 > %s && ln -s %s %s" % (real.path, real.basename, link.path),
        mnemonic = "LinkedFile",
    )
    return [DefaultInfo(files = depset([real, link]))]

# The action itself makes the symlink, next to the file that it names.
linked_file = rule(implementation = _linked_file_impl)

def _linked_tree_impl(ctx):
    tree = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(
        outputs = [tree],
        # A server makes the folders above an output directory, not the directory itself; Bazel alone makes it too.
        command = """
            set -e
            mkdir -p %s/v1 %s/v2
            cd %s
            echo one > v1/notes.txt
            echo two > v2/notes.txt
            ln -s v2 latest
            ln -s v2/notes.txt notes.txt
            ln -s ../v1/notes.txt v2/previous.txt
        """ % (tree.path, tree.path, tree.path),
        mnemonic = "LinkedTree",
    )
    return [DefaultInfo(files = depset([tree]))]

# Symlinks inside an output directory: to a directory, to a file, and upwards.
linked_tree = rule(implementation = _linked_tree_impl)
