#!/bin/bash
# An API machine; rendered from the cluster's templates. The image does the rest.
mkdir -p /etc/kubernetes
cat > /etc/kubernetes/master.env <<'END'
CLUSTER=@CLUSTER@
API_NAMES=@API_NAMES@
POD_CIDR=@POD_CIDR@
ETCD_SERVERS=@ETCD_SERVERS@
END
exec /usr/local/bin/bootstrap-master
