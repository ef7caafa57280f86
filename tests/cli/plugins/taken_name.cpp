// A plugin whose press has the name of one that is there.
#include "kvpress/press/plugin.h"

namespace {

class Nothing : public kvpress::Selector<Nothing> {};

const kvpress::PressEntry kTaken = {"knorm", "keeps nothing", "", "nothing", kvpress::make_press<Nothing>};

}  // namespace

KVPRESS_PLUGIN(&kTaken)
