#!/bin/sh
# Run once by the image, on an empty data folder: the shop's user has no right outside its database (SUPER or READ ONLY ADMIN would write where it must not), the check's user none at all.
set -eu
mariadb -uroot -p"$MARIADB_ROOT_PASSWORD" <<SQL
CREATE DATABASE IF NOT EXISTS sluice CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE USER IF NOT EXISTS 'sluice'@'%' IDENTIFIED BY '$SQL_PASSWORD';
GRANT ALL ON sluice.* TO 'sluice'@'%';
CREATE USER IF NOT EXISTS 'check'@'%' IDENTIFIED BY '$SQL_CHECK_PASSWORD';
CREATE USER IF NOT EXISTS 'sst'@'localhost' IDENTIFIED BY '$SQL_SST_PASSWORD';
GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR, REPLICA MONITOR ON *.* TO 'sst'@'localhost';
SQL
