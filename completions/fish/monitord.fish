# fish completion for monitord(8)

complete --command monitord --no-files
complete --command monitord --long-option config --require-parameter --force-files --description 'the configuration'
complete --command monitord --long-option check-config --description 'check the configuration and exit'
complete --command monitord --long-option version --description 'print the version'
complete --command monitord --long-option help --description 'print a short help'
