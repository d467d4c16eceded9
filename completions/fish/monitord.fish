# fish completion for monitord(8)

complete --command monitord --no-files
complete --command monitord --long-option config --require-parameter --force-files --description 'Main configuration file'
complete --command monitord --long-option check-config --description 'Check the configuration and exit'
complete --command monitord --long-option version --description 'Show the version'
complete --command monitord --long-option help --description 'Show this help'
