// Package arch says what a model's cache holds, from the model's configuration alone: which tensors each layer caches,
// how many rows each has after so many tokens, and in which type. A competent guess is wrong for most of today's
// families, so the shapes are those that transformers 5.24.0 was seen to cache, one entry of a table a model type.
//
//  1. read.go finds the part of a configuration that generates text; fields.go names the field that is missing or wrong;
//  2. types.go is the table: a model type a row, and which of the few shapes its layers have (family.go);
//  3. patterns.go fills in what the configuration's class does: which layer is of which kind (kind.go);
//  4. shape.go turns fields into the tensors of a layer; heads.go, states.go and blt.go do for single families.
//
// Start with Model in model.go and Layer in layer.go.
package arch
