// A program from outside the tree: a ring to a file and back, in C++.
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include <msp/record.h>
#include <msp/record_ext.h>
#include <msp/ringbuffer.h>
#include <xutils/xringbuffer.h>

int main(int argc, char **argv)
{
    if (argc != 3 || std::string(record_version()) != argv[2]) {
        std::cerr << "usage: consumer FILE VERSION; this is " << record_version() << "\n";
        return 1;
    }
    std::vector<uint8_t> storage(1001);
    std::string text = "through the installed library";
    x_ringbuf_t ring;
    xringbuffer_create(&ring, storage.data(), int(storage.size()));

    std::string from = "ringbuffer://handle=" + std::to_string(reinterpret_cast<uintptr_t>(&ring));
    rec_hdl_t rec = record_register(from.c_str(), ("file://" + std::string(argv[1])).c_str());
    if (rec == nullptr || record_start(rec) < 0) {
        std::cerr << "consumer: " << record_last_error() << "\n";
        return 1;
    }
    ringbuffer_write(&ring, reinterpret_cast<uint8_t *>(&text[0]), uint32_t(text.size()));
    if (record_stop(rec) < 0 || record_unregister(rec) < 0) {
        std::cerr << "consumer: " << record_last_error() << "\n";
        return 1;
    }
    ringbuffer_destroy(&ring);

    std::ifstream file(argv[1], std::ios::binary);
    if (std::string(std::istreambuf_iterator<char>(file), {}) != text) {
        std::cerr << "consumer: " << argv[1] << " does not hold what was written\n";
        return 1;
    }
    return 0;
}
