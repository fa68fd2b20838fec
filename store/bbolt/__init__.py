"""bbolt's file format, as far as etcd's snapshots need it: whole files written in one go, and read.

    file   = meta meta page*                          pages of `PAGE_BYTES`, numbered from 0
    page   = id:u64 flags:u16 count:u16 overflow:u32  element* data
    meta   = page{magic version page_size root freelist end txid checksum}
    leaf   = page{(flags:u32 offset:u32 key_size:u32 value_size:u32)* (key value)*}
    branch = page{(offset:u32 key_size:u32 page:u64)* key*}

A page that is longer than `PAGE_BYTES` goes on over the next ones (`overflow`). The tree of the root bucket
maps names to buckets; a bucket is root:u64 sequence:u64, and when it is small (root 0) its only page follows
in place.
"""
