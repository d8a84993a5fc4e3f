#!/bin/sh
# Print the path of a Python: `scripts/find_python.sh WHICH`. WHICH is a version (3.13), a command or a path. A version
# is looked for as python3.13 on PATH, then among pyenv's. Exit code 1, with a sentence, when there is none.
which=${1:?a version, a command or a path}
version=${which#python}

works() {
    "$1" -c 'import sys; print(sys.executable)' 2>/dev/null
}

works "$which" && exit
works "python$version" && exit
if command -v pyenv >/dev/null; then
    for folder in "$(pyenv root)/versions/$version".* "$(pyenv root)/versions/$version"; do
        works "$folder/bin/python" && exit
    done
fi
echo "no Python $version here: not on PATH, and pyenv has none" >&2
exit 1
