#ifndef ROPEJIT_ROPEJIT_H_
#define ROPEJIT_ROPEJIT_H_

// The whole public interface.
#include "ropejit/args.h"
#include "ropejit/config.h"
#include "ropejit/error.h"
#include "ropejit/frequencies.h"
#include "ropejit/model.h"
#include "ropejit/reference.h"
#include "ropejit/runtime.h"
#include "ropejit/scaling.h"
#include "ropejit/spec.h"
#include "ropejit/table.h"
#include "ropejit/tuning.h"

#endif  // ROPEJIT_ROPEJIT_H_
