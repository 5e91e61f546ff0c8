"""A rule whose output is a directory, and one that reads such a directory."""

def _letter_tree_impl(ctx):
    tree = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run(
        outputs = [tree],
        inputs = [ctx.file.words],
        executable = ctx.executable._split,
        arguments = [ctx.file.words.path, tree.path],
        mnemonic = "LetterTree",
        progress_message = "Sorting words into %{label}",
    )
    return [DefaultInfo(files = depset([tree]))]

letter_tree = rule(
    implementation = _letter_tree_impl,
    attrs = {
        "words": attr.label(allow_single_file = True, mandatory = True),
        "_split": attr.label(default = "//tools:split_by_letter", executable = True, cfg = "host"),
    },
)

def _tree_summary_impl(ctx):
    tree = ctx.file.tree
    summary = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.run_shell(
        outputs = [summary],
        inputs = [tree],
        command = "cd %s && find -L . -type f | LC_ALL=C sort | xargs wc -w > \"$OLDPWD/%s\"" % (tree.path, summary.path),
        mnemonic = "TreeSummary",
    )
    return [DefaultInfo(files = depset([summary]))]

tree_summary = rule(
    implementation = _tree_summary_impl,
    attrs = {"tree": attr.label(allow_single_file = True, mandatory = True)},
)
