/* What every C guest of the fuel bench needs. */
#define EXPORT(name) __attribute__((export_name(name)))
