"""A small Python program of ours for the server's python3. It needs only the standard library.

python3 reads the program from standard input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from uploader.server_download.downloaders.interface import (
    AGENT,
    CONNECT_SECONDS,
    REDIRECTS,
    STALL_SECONDS,
    Order,
    Trouble,
)

# For Python 3.6 and later. It exits with a code of `Python.troubles` and prints the HTTP status.
_PROGRAM = """
import http.client,json,os,socket,ssl,sys,urllib.error,urllib.parse,urllib.request
order=json.loads(sys.stdin.readline())
def end(code,status=0):
    print('%03d'%status)
    sys.stdout.flush()
    os._exit(code)
class Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections=order['redirects']
    def redirect_request(self,req,fp,code,msg,headers,newurl):
        new=super().redirect_request(req,fp,code,msg,headers,newurl)
        if new is None: return None
        old,to=urllib.parse.urlsplit(req.full_url),urllib.parse.urlsplit(newurl)
        if to.scheme!='https' and not (order['plain'] and to.scheme=='http'): end(15,code)
        if (old.scheme,old.netloc)!=(to.scheme,to.netloc): new.headers.pop('Authorization',None)
        return new
def why(error):
    reason=getattr(error,'reason',error)
    if isinstance(reason,ssl.SSLError): return 13 if 'CERTIFICATE' in str(reason).upper() else 18
    if isinstance(reason,socket.gaierror): return 10
    if isinstance(reason,socket.timeout): return 12
    if isinstance(reason,OSError): return 11
    return 19
path=order['part'].encode('utf-8','surrogateescape')
at=os.path.getsize(path)
headers={'User-Agent':order['agent'],'Accept':'*/*','Accept-Encoding':'identity'}
if at:
    headers['Range']='bytes=%d-'%at
    if order['validator']: headers['If-Range']=order['validator']
if order['header']:
    name,_,value=order['header'].partition(':')
    headers[name.strip()]=value.strip()
try:
    opener=urllib.request.build_opener(Redirects())
    answer=opener.open(urllib.request.Request(order['link'],headers=headers),timeout=order['connect'])
except urllib.error.HTTPError as error: end(15,error.code)
except Exception as error: end(why(error))
status=answer.getcode()
if at and status!=206: end(16,status)
if at and not answer.headers.get('Content-Range','').startswith('bytes %d-'%at): end(16,status)
length=answer.headers.get('Content-Length','')
end_at=at+int(length) if length.isdigit() else 0
if end_at>order['size']: end(16,status)
try: answer.fp.raw._sock.settimeout(order['stall'])
except AttributeError: pass
try: part=open(path,'ab',buffering=0)
except OSError: end(17,status)
while True:
    try: data=answer.read(1<<18)
    except http.client.IncompleteRead as error: data=error.partial
    except socket.timeout: end(12,status)
    except Exception: end(14,status)
    if not data: break
    if at+len(data)>order['size']: end(16,status)
    view=memoryview(data)
    try:
        while view: view=view[part.write(view):]
    except OSError: end(17,status)
    at+=len(data)
if at<end_at: end(14,status)
end(0,status)
"""
_START = "import sys;exec(eval(sys.stdin.readline()))"


class Python:
    """The downloader python3. `-I` ignores the user's environment variables and the current folder."""

    name = "python3"
    version = 'python3 -I -c "import ssl,sys;print(sys.version.split()[0])"'
    attempt = f'st=$(printf "%s\\n" "$order" | python3 -I -c "{_START}" 2>/dev/null); rc=$?; st=${{st:-000}}'
    troubles: Mapping[int, Trouble] = {
        10: Trouble.NAME,
        11: Trouble.CONNECT,
        12: Trouble.TIMEOUT,
        13: Trouble.CERTIFICATE,
        14: Trouble.CUT,
        15: Trouble.STATUS,
        16: Trouble.CHANGED,
        17: Trouble.DISK,
        18: Trouble.TLS,
        1: Trouble.GONE,
        126: Trouble.GONE,
        127: Trouble.GONE,
    }

    def usable(self, version_line: str) -> bool:
        found = re.match(r"3\.(\d+)", version_line)
        return found is not None and int(found[1]) >= 6

    def lines(self, order: Order) -> list[str]:
        asked = {
            "link": order.link.reveal(),
            "part": order.part,
            "size": order.size,
            "validator": order.validator,
            "plain": order.plain,
            "header": None if order.header is None else order.header.reveal(),
            "agent": AGENT,
            "connect": CONNECT_SECONDS,
            "stall": STALL_SECONDS,
            "redirects": REDIRECTS,
        }
        return [repr(_PROGRAM), json.dumps(asked)]
