# fish completion for monitorctl(1)

# monitorctl prints the candidates: it knows its options, and requests names from the daemon.
function __monitorctl_complete
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l current (commandline --current-token --cut-at-cursor)
    set -l candidates ($words[1] complete -- $words[2..-1] "$current" 2>/dev/null)
    switch "$candidates[1]"
        case ':files toml'
            __fish_complete_suffix .toml
        case ':files'
            __fish_complete_path "$current"
        case '*'
            test -n "$candidates[1]"; and printf '%s\n' $candidates
    end
end

complete --command monitorctl --no-files --arguments '(__monitorctl_complete)'
