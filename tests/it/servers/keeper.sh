# Removes the folder of all servers of a test process when that ends, however it does: then its pipe closes. Their watchdogs
# end the servers at the same time, so that there may be new files at first.
# $1: the folder.
read -r _
tries=0
until rm -rf --one-file-system -- "$1" || [ $((tries += 1)) = 100 ]; do sleep 0.1; done
