# Runs go build for one target of CMakeLists.txt, which sets the variables:
# GO MODE PACKAGE SOURCE_DIR OUTPUT SONAME STRIP ARCH CFLAGS LDFLAGS CC AR OBJCOPY

set(capi "${SOURCE_DIR}/capi")
get_filename_component(name "${OUTPUT}" NAME)
get_filename_component(dir "${OUTPUT}" DIRECTORY)
set(built "${dir}/go/${name}")

# go build does not see the files that lie outside a package's folder or that
# only the linker reads. Their contents go into its flags, which it does see.
function(hash_of out)
    set(all "")
    foreach(file IN LISTS ARGN)
        file(SHA256 "${file}" sum)
        string(APPEND all "${sum}")
    endforeach()
    string(SHA256 all "${all}")
    string(SUBSTRING "${all}" 0 16 all)
    set(${out} "${all}" PARENT_SCOPE)
endfunction()
file(GLOB_RECURSE headers "${SOURCE_DIR}/include/*.h" "${SOURCE_DIR}/capi/*.h" "${SOURCE_DIR}/internal/*.h")
list(SORT headers)
hash_of(headers ${headers})
hash_of(linking "${capi}/extld.sh" "${capi}/exports.map")

set(ldflags "${STRIP}")
if(MODE STREQUAL "exe")
    set(ENV{CGO_ENABLED} 0) # one static file that runs anywhere
else()
    set(ENV{CGO_ENABLED} 1)
    set(ENV{CC} "${CC}")
    set(ENV{AR} "${AR}")
    set(ENV{OBJCOPY} "${OBJCOPY}")
    set(ENV{CGO_CFLAGS} "${CFLAGS} -DMSP_HEADERS_HASH=${headers} $ENV{CGO_CFLAGS}")
    set(ENV{CGO_LDFLAGS} "${LDFLAGS} $ENV{CGO_LDFLAGS}")
    string(APPEND ldflags " -X main.linking=${linking}")
    if(MODE STREQUAL "c-shared")
        string(APPEND ldflags " \"-extld='${capi}/extld.sh'\"")
        string(APPEND ldflags " \"-extldflags=-Wl,-soname,${SONAME} '-Wl,--version-script=${capi}/exports.map'\"")
    else()
        string(APPEND ldflags " \"-extar=${capi}/extld.sh\"")
    endif()
endif()
if(ARCH)
    set(ENV{GOOS} linux)
    set(ENV{GOARCH} ${ARCH})
endif()

execute_process(
    COMMAND "${GO}" build -trimpath -buildmode=${MODE} -ldflags "${ldflags}" -o "${built}" "${PACKAGE}"
    WORKING_DIRECTORY "${SOURCE_DIR}"
    RESULT_VARIABLE failed)
if(failed)
    message(FATAL_ERROR "go build ${PACKAGE} failed (${failed}); its own words are above.")
endif()
execute_process(COMMAND "${CMAKE_COMMAND}" -E copy_if_different "${built}" "${OUTPUT}" RESULT_VARIABLE failed)
if(failed)
    message(FATAL_ERROR "${OUTPUT} could not be written.")
endif()
