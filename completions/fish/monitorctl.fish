# fish completion for monitorctl(1)

# What can stand next is monitorctl's own to say: it knows its options, and asks the daemon for names.
function __monitorctl_complete
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l said ($words[1] complete -- $words[2..-1] "$current" 2>/dev/null)
    switch "$said[1]"
        case ':files toml'
            __fish_complete_suffix .toml
        case ':files'
            __fish_complete_path "$current"
        case '*'
            test -n "$said[1]"; and printf '%s\n' $said
    end
end

complete --command monitorctl --no-files --arguments '(__monitorctl_complete)'
